"""How two versions differ."""

import json
import random
import time

import pytest

from datasets_app import services
from datasets_app.deriving.comparing import compare, turn_changes, word_changes
from datasets_app.deriving.fingerprints import Fingerprints
from datasets_app.selectors.comparing import NotComparable, compared
from tests.datasets_app.test_versions_recipes import bring, make, row


@pytest.fixture
def version(alice):
    return bring(alice, "Sums", *(row(f"What is {n}?", f"It is {n}.") for n in range(20)))


def changes(version, *changed):
    return make(version, "edit", changes=list(changed))


def said(answer, question="What is 3?"):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.django_db
def test_edited_deleted_and_moved_rows_are_found(version):
    made = changes(
        version,
        {"row": 3, "content": said("It is four.")},
        {"row": 5, "delete": True},
        {"row": 7, "split": "held_out"},
    )
    moved = (
        1
        if services.stored_rows(version) and list(services.stored_rows(version))[7]["split"] == "train"
        else 0
    )
    found = compared(version, made)
    assert found.counts == {"same": 18, "changed": 1, "only_first": 1, "only_second": 0, "moved": moved}
    changed = found.rows("changed", 0, 10)[0]
    assert (changed["first"], changed["second"]) == (3, 3)
    assert changed["turns"][1]["pieces"] == [
        ("same", "It is "),
        ("gone", "3"),
        ("new", "four"),
        ("same", "."),
    ]
    assert found.rows("only_first", 0, 10)[0]["first"] == 5
    assert not found.is_same and compared(version, version).is_same


@pytest.mark.django_db
def test_the_same_edit_seen_from_a_sibling_and_the_other_way_round(version):
    one = changes(version, {"row": 3, "content": said("It is four.")})
    two = changes(version, {"row": 3, "content": said("It is five.")}, {"row": 0, "delete": True})
    assert compared(one, two).counts["changed"] == 1
    back = compared(two, one)
    assert back.counts == {"same": 18, "changed": 1, "only_first": 0, "only_second": 1, "moved": 0}


@pytest.mark.django_db
def test_a_file_brought_again_is_compared_by_conversation(version, alice):
    rows = [row(f"What is {n}?", f"It is {n}." if n != 4 else "It is not known.") for n in range(1, 20)]
    other = bring(alice, "Again", *rows, row("What else?", "Nothing."))
    counts = compared(version, other).counts
    assert (counts["same"], counts["changed"], counts["only_first"], counts["only_second"]) == (18, 1, 1, 1)


@pytest.mark.django_db
def test_a_version_without_rows_here_is_refused_by_name(version):
    other = changes(version, {"row": 0, "delete": True})
    type(other).objects.filter(pk=other.pk).update(rows_sha256="")
    other.refresh_from_db()
    with pytest.raises(NotComparable, match="Sums v2"):
        compared(version, other)


def test_what_is_there_twice_is_counted_as_often_as_it_is_there(tmp_path):
    def file(name, rows):
        lines = [
            {"messages": said(text)["messages"], "conversation": f"c{n}", "line": n, "split": "train"}
            for n, text in enumerate(rows)
        ]
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
        return Fingerprints(path, tmp_path / f"{name}.kept", name)

    one, two = file("one", ["a", "a", "a", "b"]), file("two", ["a", "c", "c", "b", "b"])
    found = compare(one, two)
    # One `a` and one `b` are the same; by their place, two of the others count as changed.
    assert found.same == 2
    assert len(found.changed) == 2 and len(found.only_first) == 0 and len(found.only_second) == 1


def test_the_counts_agree_with_a_plain_count_for_many_shuffled_rows(tmp_path):
    draw = random.Random(4)

    def file(name, texts):
        path = tmp_path / name
        with open(path, "w") as out:
            for n, text in enumerate(texts):
                line = {"text": text, "conversation": f"{name} {n}", "line": n, "split": "train"}
                out.write(json.dumps(line) + "\n")
        return Fingerprints(path, tmp_path / f"{name}.kept", name)

    ones = [f"text {draw.randrange(3000)}" for _ in range(5000)]
    twos = [f"text {draw.randrange(3000)}" for _ in range(4000)]
    found = compare(file("a", ones), file("b", twos))
    shared = sum(min(ones.count(text), twos.count(text)) for text in set(ones) & set(twos))
    assert found.same == shared
    assert len(found.only_first) == 5000 - shared and len(found.only_second) == 4000 - shared


def test_words_are_compared_and_nothing_is_lost():
    before, after = "The cat sat\non the mat.", "The dog sat\non a mat, too."
    pieces = list(word_changes(before, after))
    assert "".join(text for kind, text in pieces if kind != "new") == before
    assert "".join(text for kind, text in pieces if kind != "gone") == after
    assert ("gone", "cat ") in pieces and ("new", "dog ") in pieces


def test_turns_that_come_and_go_are_told_apart():
    one = {"messages": [{"role": "system", "content": "Be kind."}, *said("Yes.")["messages"]]}
    states = [(turn["role"], turn["state"]) for turn in turn_changes(one, said("Yes."))]
    assert states == [("system", "gone"), ("user", "same"), ("assistant", "same")]


def long_talk(*answers: str) -> dict:
    return {"messages": [{"role": "assistant", "content": answer} for answer in answers]}


def test_conversations_of_very_many_turns_are_compared_in_a_moment():
    one = long_talk(*("a" for _ in range(10_000)))
    two = long_talk(*("b" if n % 7 == 3 else "a" for n in range(10_000)), "c")
    began = time.monotonic()
    states = [turn["state"] for turn in turn_changes(one, two)]
    assert time.monotonic() - began < 5
    assert states[:5] == ["same", "same", "same", "changed", "same"]
    assert states[-1] == "new" and len(states) == 10_001


def test_a_turn_in_the_middle_of_very_many_is_found():
    answers = [str(n) for n in range(5_000)]
    states = [
        turn["state"]
        for turn in turn_changes(long_talk(*answers), long_talk(*answers[:2000], *answers[2001:]))
    ]
    assert states.count("gone") == 1 and states[2000] == "gone" and states.count("same") == 4_999
