"""Rows that are the same, contradict each other, overlap, or are nearly the same."""

import json
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_app.checking import duplicates
from datasets_app.checking.duplicates import Duplicates
from datasets_app.checking.near_duplicates import NearDuplicates, find_near_duplicates
from datasets_app.checking.profile import MORE, Profile
from datasets_app.faults import CODES
from datasets_app.reading import check_file
from datasets_app.scanning import library

LONG = " ".join(f"word{n}" for n in range(100))


def chat(line, question, answer, split=None):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "conversation": "c", "line": line, "split": split}


def told(check, rows, kind="chat"):
    """code → [(line, the line it is compared to)] of everything that the check says."""
    faults = [fault for row in rows for fault in check.see(row, kind)] + list(check.finish())
    found = {}
    for fault in faults:
        assert fault.severity == "warning" and fault.code in CODES
        other = re.search(r"line ([\d,]+)", fault.problem)
        found.setdefault(fault.code, []).append((fault.line, other and int(other[1].replace(",", ""))))
    return found


def expected(rows):
    """The same by comparing every row with all before it."""
    first_seen, asked = {}, {}
    found = {"exact_duplicate": [], "contradiction": [], "split_overlap": []}
    for row in rows:
        same = repr(row["messages"])
        if same in first_seen:
            found["exact_duplicate"].append((row["line"], first_seen[same]))
        first_seen.setdefault(same, row["line"])
        asked.setdefault(repr(row["messages"][:-1]), []).append(row)
    for group in asked.values():
        differing = [row["line"] for row in group if row["messages"] != group[0]["messages"]]
        learned = [row["line"] for row in group if row["split"] == "train"]
        held_out = [row["line"] for row in group if row["split"] == "held_out"]
        if differing:
            found["contradiction"].append((differing[0], group[0]["line"]))
        if learned and held_out:
            found["split_overlap"].append((held_out[0], learned[0]))
    return {code: sorted(pairs) for code, pairs in found.items() if pairs}


ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from([None, "train", "held_out"])), max_size=60
)


@pytest.fixture(params=["with the scanner", "without the scanner"])
def digests(request, monkeypatch):
    if request.param == "without the scanner":
        monkeypatch.setattr(library, "load", lambda: None)


@given(ROWS, st.sampled_from([2, 5, 17, 1000]))
@settings(deadline=None)
def test_what_is_found_does_not_depend_on_what_fits_in_memory(drawn, rows_in_memory):
    rows = [chat(n, f"q{q}", f"a{a}", split) for n, (q, a, split) in enumerate(drawn, 1)]
    assert told(Duplicates(rows_in_memory), rows) == expected(rows)


def test_each_of_them_names_both_lines(digests):
    rows = [chat(1, "a", "1"), chat(2, "b", "1"), chat(5, "a", "1"), chat(6, "b", "2"), chat(9, "a", "1")]
    check = Duplicates()
    assert told(check, rows) == {"exact_duplicate": [(5, 1), (9, 1)], "contradiction": [(6, 2)]}
    assert check.summary() == {"duplicates": {"exact": 2, "contradictions": 1}}


def test_an_answer_of_other_words_or_turns_is_no_duplicate(digests):
    longer = chat(3, "a", "1")
    longer["messages"] += [{"role": "user", "content": "b"}, {"role": "assistant", "content": "1"}]
    with_tools = {**chat(4, "a", "1"), "tools": [{"type": "function"}]}
    context = chat(5, "a", "1")
    context["messages"][1]["weight"] = 0
    system = chat(6, "a", "1")
    system["messages"].insert(0, {"role": "system", "content": "Be brief."})
    assert (
        told(Duplicates(), [chat(1, "a", "1"), chat(2, "a1", ""), longer, with_tools, context, system]) == {}
    )


def test_beyond_those_named_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(duplicates, "NAMED", 3)
    check = Duplicates(10)
    found = told(check, [chat(n, "a", "1") for n in range(1, 101)])
    assert found == {"exact_duplicate": [(2, 1), (3, 1), (4, 1), (None, None)]}
    assert check.summary() == {"duplicates": {"exact": 99}}


def test_of_the_same_question_very_often_each_answer_is_told_from_the_others():
    rows = [chat(n, "Write a poem", str(n % 997)) for n in range(1, 5001)]
    check = Duplicates(100)
    assert told(check, rows)["contradiction"] == [(2, 1)]
    assert check.summary() == {"duplicates": {"exact": 5000 - 997, "contradictions": 1}}


X, Y = [{"role": "assistant", "content": "x"}], [{"role": "assistant", "content": "y"}]
X_TOO = [{"content": "x", "role": "assistant"}]


@pytest.mark.parametrize(
    ("kind", "first", "same", "opposite"),
    [
        ("text", {"text": "one"}, {"text": "one"}, None),
        (
            "preference",
            {"prompt": [], "chosen": X, "rejected": Y},
            {"prompt": [], "chosen": X_TOO, "rejected": Y},
            {"prompt": [], "chosen": Y, "rejected": X},
        ),
        (
            "unpaired",
            {"prompt": [], "completion": X, "label": True},
            {"prompt": [], "completion": X_TOO, "label": True},
            {"prompt": [], "completion": X, "label": False},
        ),
    ],
)
def test_rows_of_every_kind_are_compared(kind, first, same, opposite):
    rows = [{**first, "line": 1}, {**same, "line": 2}]
    assert told(Duplicates(), rows, kind) == {"exact_duplicate": [(2, 1)]}
    if opposite:
        rows[1] = {**opposite, "line": 2}
        assert told(Duplicates(), rows, kind) == {"contradiction": [(2, 1)]}


def test_a_profile_counts_messages_characters_turns_and_lengths():
    check = Profile()
    long = {"messages": [{"role": "user", "content": "é😀"}] * 50, "line": 2}
    calling = {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}],
        "line": 3,
    }
    for row in (chat(1, "abc", "defgh"), long, calling):
        assert list(check.see(row, "chat")) == []
    assert check.summary() == {
        "messages": {"assistant": 2, "user": 52},
        "characters": {"assistant": 5, "user": 104},
        "turns": {"2": 2, MORE: 1},
        "lengths": [
            {"from": 1, "to": 1, "rows": 1}, {"from": 8, "to": 15, "rows": 1}, {"from": 64, "to": 127, "rows": 1},
        ],
        "longest": 100,
        "mean": 36.3,
        "answer_share": 0.0459,
    }  # fmt: skip


def test_texts_that_differ_by_a_few_words_are_near_duplicates(digests):
    draw = random.Random(3)
    words = [f"word{n}" for n in range(800)]
    texts = [[draw.choice(words) for _ in range(100)] for _ in range(300)]
    for n in range(50):
        texts.append([*texts[n][:50], "changed", *texts[n][51:]])
    rows = [{**chat(n, " ".join(text), "ok"), "conversation": str(n)} for n, text in enumerate(texts, 1)]
    groups = find_near_duplicates(rows)
    assert groups == [[n, 300 + n] for n in range(50)]
    check = NearDuplicates()
    assert told(check, rows) == {"near_duplicate": [(301 + n, n + 1) for n in range(50)]}
    assert check.summary() == {"near_duplicates": {"rows": 50, "looked_at": 350, "of": 350}}


def test_texts_without_spaces_are_compared_by_their_characters(digests):
    one = "今天天气很好我们一起去公园散步然后回家吃饭晚上看电影明天早上再去学校上课"
    rows = [{"text": one}, {"text": one + "吧"}, {"text": one[::-1]}, {"text": ""}, {"text": "a b"}]
    assert find_near_duplicates(rows) == [[0, 1]]


def test_beyond_the_limit_rows_are_only_counted(digests):
    check = NearDuplicates(rows_most=2)
    rows = [{**chat(n, LONG, f"Answer {n}"), "conversation": str(n)} for n in range(1, 6)]
    assert told(check, rows) == {"near_duplicate": [(2, 1)]}
    assert check.summary() == {"near_duplicates": {"rows": 1, "looked_at": 2, "of": 5}}


def test_turns_of_one_conversation_and_equal_rows_are_not_told_as_near():
    assert told(NearDuplicates(), [chat(n, LONG, f"Answer {n}") for n in range(1, 4)]) == {}
    assert (
        told(NearDuplicates(), [{**chat(n, LONG, "Yes"), "conversation": str(n)} for n in range(1, 4)]) == {}
    )


@pytest.mark.parametrize(("limit", "codes"), [(16_000_000, {"near_duplicate": 1}), (1000, {})])
def test_small_files_are_looked_at_without_being_asked(tmp_path, monkeypatch, limit, codes):
    monkeypatch.setattr("datasets_app.checking.NEAR_BYTES_MOST", limit)
    path = tmp_path / "chats.jsonl"
    lines = [{"prompt": f"{LONG} {word}", "completion": "Yes"} for word in ("one", "two")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert check_file(path).counts == codes


def test_columns_and_rows_of_the_same_content_are_the_same():
    scanner = library.load()
    if scanner is None:
        pytest.skip("the scanner was not built")
    assert scanner.digest((0, 0), 1, b"") != scanner.digest((0, 0), 2, b"")
    seen = {scanner.digest((0, 0), 1, bytes([0]) * n) for n in range(100)}
    assert len(seen) == 100 and all(np.uint64(word) for pair in seen for word in pair)
