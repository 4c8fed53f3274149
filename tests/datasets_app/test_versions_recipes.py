"""Filters, splits, merges, duplicates, masks and edits: shown beforehand, then made."""

import json

import pytest

from datasets_app import leases, making, services
from datasets_app.deriving.material import BadRecipe
from datasets_app.models import DatasetImport, ImportSource, ImportStatus, Review
from datasets_app.services import versions
from tests.datasets_app.test_versions_deriving import rows_of

pytestmark = pytest.mark.django_db


def row(question, answer, **more):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages, **more}, ensure_ascii=False)


def bring(owner, name, *rows):
    return services.create_dataset(owner=owner, name=name, text="\n".join(rows) + "\n")


@pytest.fixture
def mixed(alice):
    """Twelve rows, of which 0 and 5 are the same, and 7 holds an address."""
    rows = [row(f"What is {n} and {n}?", f"The answer to this is {2 * n}, as you know.") for n in range(12)]
    rows[5] = rows[0]
    rows[7] = row(
        "Who helps?", "Write to anna.muster@posteo.de, she helps all day and every week of the year."
    )
    return bring(alice, "Mixed", *rows)


def preview(version, make, /, **settings):
    return services.preview_derivation(version=version, recipe={"make": make, "settings": settings})


def make(version, make, /, **settings):
    return services.start_derivation(version=version, recipe={"make": make, "settings": settings})


def questions(version):
    return [each["messages"][0]["content"] for each in rows_of(version)]


def test_a_filter_says_beforehand_what_goes_and_then_does_it(mixed):
    shown = preview(mixed, "filter", mode="drop", contains="MUSTER")
    assert shown.words == "12 rows → 11: 1 row goes."
    assert mixed.dataset.versions.count() == 1
    made = make(mixed, "filter", mode="drop", contains="MUSTER")
    assert (made.number, made.row_count, made.made_by) == (2, 11, "filtered")
    assert "Who helps?" not in questions(made)
    assert made.made_from["settings"] == {"mode": "drop", "contains": "MUSTER"}
    assert made.made_from["told"] == {"dropped": 1}


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({"min_characters": 80}, 1),
        ({"max_turns": 1}, 0),
        ({"has_tools": False}, 12),
        ({"role": "user", "contains": "helps"}, 1),
        ({"role": "system"}, 0),
        ({"language": "en"}, 12),
        ({"codes": ["personal_data"]}, 1),
        ({"codes": ["personal_data"], "mode": "drop"}, 11),
        ({"verdict": "star"}, 0),
        ({"verdict": "none"}, 12),
    ],
)
def test_what_a_filter_may_ask(mixed, asked, left):
    if "codes" in asked:
        mixed = make(mixed, "edit", changes=[{"row": 0, "delete": True}])
        left -= asked.get("mode") == "drop"
    assert preview(mixed, "filter", **asked).rows_after == left


def test_a_filter_by_what_people_said(mixed, alice):
    services.review_row(version=mixed, reviewer=alice, number=3, verdict="star", rating=5, tags=["good"])
    assert Review.objects.count() == 1
    for settings in ({"verdict": "star"}, {"min_rating": 4}, {"tag": "good"}):
        assert preview(mixed, "filter", **settings).rows_after == 1, settings


@pytest.mark.parametrize(
    ("make_of", "asked", "said"),
    [
        ("filter", {}, "asks for nothing"),
        ("filter", {"min_turns": "three"}, "“min_turns” does not fit: expected a whole number, got text"),
        ("filter", {"colour": "red"}, "no setting of the name `colour`"),
        ("filter", {"max_tokens": 10}, "base model"),
        ("filter", {"contains": "a\x00b"}, "character NUL"),
        ("paint", {}, "no way 'paint'"),
        ("split", {"share": 0.95}, "0.9"),
        ("merge", {"with_versions": []}, "at least one other"),
        ("mask", {"kinds": ["shoe"]}, "nothing called 'shoe'"),
        ("edit", {"changes": []}, "no change"),
        ("edit", {"changes": [{"row": 99, "delete": True}]}, "no row 99"),
        (
            "edit",
            {"changes": [{"row": 0, "content": {"messages": []}}]},
            "Row 0: “messages” holds no messages",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused_by_name(mixed, make_of, asked, said):
    with pytest.raises(BadRecipe, match=said):
        make(mixed, make_of, **asked)
    assert mixed.dataset.versions.count() == 1


def test_exact_duplicates_go_and_their_groups_are_shown_first(mixed):
    shown = preview(mixed, "deduplicate")
    assert shown.words == "12 rows → 11: 1 duplicate goes."
    assert shown.told["examples"] == [{"kept": 0, "rows": [0, 5], "count": 2}]
    assert make(mixed, "deduplicate").row_count == 11


def test_of_nearly_equal_rows_the_longest_stays(alice):
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    version = bring(
        alice, "Near", row("A long question about numbers?", words),
        row("A long question about numbers?", words + " seventeen"), row("Quite another thing", "Yes"),
    )  # fmt: skip
    made = make(version, "deduplicate", near=True, threshold=0.8, keep="longest")
    assert [each["messages"][-1]["content"][-9:] for each in rows_of(made)] == ["seventeen", "Yes"]


def test_a_new_split_keeps_conversations_whole_and_follows_its_seed(alice):
    rows = [row(f"Turn {turn} of {n}", f"Yes {n} {turn}") for n in range(30) for turn in range(3)]
    version = bring(alice, "Talks", *rows)
    one = make(version, "split", share=0.3, seed=1)
    assert one.held_out_count == 27 and one.row_count == 90
    sides = {}
    for each in rows_of(one):
        sides.setdefault(each["conversation"], set()).add(each["split"])
    assert all(len(found) == 1 for found in sides.values())
    again = preview(version, "split", share=0.3, seed=1)
    assert again.held_out_count == 27
    other = make(version, "split", share=0.3, seed=2)
    held = [{each["line"] for each in rows_of(v) if each["split"] == "held_out"} for v in (one, other)]
    assert held[0] != held[1]


def test_a_stratified_split_says_what_each_group_gives(alice):
    short = [row(f"Q{n}", "A") for n in range(40)]
    long = [row(f"L{n}", "word " * 100) for n in range(20)]
    shown = preview(bring(alice, "Lengths", *short, *long), "split", share=0.25, by="length")
    strata = {each["name"]: (each["rows"], each["held_out"]) for each in shown.told["strata"]}
    assert strata == {"0–255 characters": (40, 10), "256–1,023 characters": (20, 5)}


def test_one_conversation_alone_cannot_be_split(alice):
    version = bring(alice, "One", row("Q", "A"))
    with pytest.raises(BadRecipe, match="only one conversation"):
        make(version, "split")


def test_a_merge_takes_rows_of_another_set_and_leaves_out_what_is_there(mixed, alice):
    other = bring(
        alice, "Other", row("What is 3 and 3?", "The answer to this is 6, as you know."), row("New", "Yes")
    )
    shown = preview(mixed, "merge", with_versions=[str(other.pk)])
    assert shown.words.startswith("12 rows → 12: 1 row comes; 2 that are there already")
    made = make(mixed, "merge", with_versions=[str(other.pk)])
    assert list(made.merged_from.all()) == [other]
    assert rows_of(made)[-1]["origin"] == {"version": str(other.pk), "row": 1}
    assert make(mixed, "merge", with_versions=[str(other.pk)], drop_duplicates=False).row_count == 14


def test_short_keys_of_two_sets_do_not_become_one_conversation(alice):
    def talk(name, answer):
        record = {
            "conversation_id": "7",
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": answer}],
        }
        return bring(alice, name, json.dumps(record))

    one, two = talk("One", "Good day"), talk("Two", "Hello")
    made = make(one, "merge", with_versions=[str(two.pk)])
    assert made.row_count == 2
    if rows_of(one)[0]["conversation"] == "7":
        assert made.conversation_count == 2


def test_a_preview_counts_the_sides_as_they_will_be(alice):
    version = bring(alice, "Sides", *(row(f"Q{n}", f"A{n}") for n in range(20)))
    other = make(version, "split", share=0.5, seed=3)
    asked = {"with_versions": [str(version.pk)], "drop_duplicates": False}
    shown, made = preview(other, "merge", **asked), make(other, "merge", **asked)
    assert (shown.train_count, shown.held_out_count) == (made.train_count, made.held_out_count)
    assert shown.conversation_count == made.conversation_count == 20


def test_nobody_merges_with_what_is_another_persons(mixed, mallory):
    foreign = bring(mallory, "Hers", row("Q", "A"))
    with pytest.raises(BadRecipe, match="no other version"):
        make(mixed, "merge", with_versions=[str(foreign.pk)])


def test_a_masked_copy_holds_no_address(mixed):
    assert preview(mixed, "mask").words == "1 row is changed; none goes."
    made = make(mixed, "mask")
    assert "anna.muster" not in json.dumps(rows_of(made)) and "[email]" in json.dumps(rows_of(made))
    assert made.verdict == "warn" or made.fault_count == 0


def test_a_clean_copy_is_without_the_rows_in_which_something_was_found(mixed):
    made = make(mixed, "edit", changes=[{"row": 0, "delete": True}])  # looked at by the checks
    clean = make(made, "clean", codes=["personal_data"])
    assert clean.row_count == 10 and "Who helps?" not in questions(clean)
    assert clean.made_from["told"] == {"dropped": 1, "by_code": {"personal_data": 1}}


def test_edits_deletions_and_moves_make_one_version(mixed):
    content = {"messages": [{"role": "user", "content": "New?"}, {"role": "assistant", "content": "Yes."}]}
    made = make(
        mixed, "edit",
        changes=[{"row": 1, "content": content}, {"row": 2, "delete": True}, {"row": 3, "split": "held_out"}],
    )  # fmt: skip
    rows = rows_of(made)
    assert (made.number, made.row_count) == (2, 11)
    assert rows[1]["messages"] == content["messages"]
    assert rows[1]["origin"] == {"version": str(mixed.pk), "row": 1}
    assert rows[2]["split"] == "held_out"
    assert "New?" not in json.dumps(made.made_from)


def test_what_was_deleted_comes_back_as_the_newest_version(mixed):
    make(mixed, "filter", contains="helps")
    newest = mixed.dataset.latest
    made = make(newest, "restore", version=str(mixed.pk))
    assert made.number == 3 and questions(made) == questions(mixed)


def test_changes_to_an_old_version_are_not_saved_unasked(mixed):
    make(mixed, "deduplicate")
    recipe = {"make": "edit", "settings": {"changes": [{"row": 1, "delete": True}]}}
    with pytest.raises(services.NotNewest, match="version 2 is there by now"):
        services.start_derivation(version=mixed, recipe=recipe, branch=False)
    made = services.start_derivation(version=mixed, recipe=recipe)
    assert (made.number, made.parent) == (3, mixed)


def test_many_rows_are_handed_to_a_worker(mixed, monkeypatch):
    monkeypatch.setattr(versions, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr("datasets_app.services.imports.send_import", lambda pk: None)
    shown = preview(mixed, "filter", mode="drop", contains="helps")
    assert (shown.looked_at, shown.of, shown.is_part) == (5, 12, True)
    imported = make(mixed, "filter", mode="drop", contains="helps")
    assert isinstance(imported, DatasetImport)
    assert (imported.source, imported.status) == (ImportSource.DERIVED, ImportStatus.QUEUED)
    made = services.run_derivation(imported, lambda share: None)
    assert (made.row_count, made.dataset) == (11, mixed.dataset)


def test_a_worker_makes_the_version_and_ends_the_import(mixed, monkeypatch, alice_client):
    monkeypatch.setattr(versions, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr("datasets_app.services.imports.send_import", lambda pk: None)
    imported = make(mixed, "filter", mode="drop", contains="helps")
    making.bring(str(imported.pk), leases.claim(str(imported.pk)))
    imported.refresh_from_db()
    assert (imported.status, imported.version.row_count) == (ImportStatus.DONE, 11)
    assert imported.report_sha256 == imported.version.report_sha256
    page = alice_client.get(f"/data/imports/{imported.pk}/", follow=True)
    assert page.status_code == 200


def test_a_recipe_that_turns_out_to_make_nothing_ends_as_refused(mixed, monkeypatch, alice_client):
    monkeypatch.setattr(versions, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr("datasets_app.services.imports.send_import", lambda pk: None)
    imported = make(mixed, "filter", contains="quite absent")
    making.bring(str(imported.pk), leases.claim(str(imported.pk)))
    imported.refresh_from_db()
    assert imported.status == ImportStatus.REFUSED and "No row would be left" in imported.message
    assert "No row would be left" in alice_client.get(f"/data/imports/{imported.pk}/").content.decode()
    assert mixed.dataset.versions.count() == 1


def test_the_family_costs_the_same_few_queries_however_large_it_is(
    mixed, alice_client, django_assert_max_num_queries
):
    for number in range(6):
        make(mixed, "split", seed=number + 1, share=0.3)
    with django_assert_max_num_queries(14):
        alice_client.get(f"/data/{mixed.dataset_id}/versions/")
