"""What people think of rows: keys, the one door, the queue, and versions made of it."""

import copy

import pytest

from datasets_app import selectors, services
from datasets_app.curation import content_of, row_key
from datasets_app.curation.edits import BadEdit, check_edit
from datasets_app.models import Review
from tests.datasets_app.files import chat, chats, json_lines

pytestmark = pytest.mark.django_db
ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def numbers(answer) -> list[int]:
    return [row["number"] for row in answer["rows"]]


def queue(version, **asked):
    count = asked.pop("count", 10)
    after = asked.pop("after", 0)
    return selectors.queue(version, version.owner, selectors.QueueFilter.from_query(asked), after, count)


def judge(version, number, **said):
    return services.review_row(version=version, reviewer=version.owner, number=number, **said)


# --- Keys ---------------------------------------------------------------------------------------------------


def test_a_key_is_of_the_content_and_not_of_its_place():
    placed = ROW | {"line": 7, "split": "train", "conversation": "a"}
    assert row_key(placed) == row_key(ROW | {"line": 9, "split": "held_out", "conversation": "b"})
    assert row_key(ROW | {"tools": []}) == row_key(ROW)
    turned = {"messages": [dict(reversed(each.items())) for each in ROW["messages"]]}
    assert row_key(turned) == row_key(ROW)


def test_a_key_tells_other_content_apart():
    other = copy.deepcopy(ROW)
    other["messages"][1]["weight"] = 1
    assert row_key(other) == row_key(ROW)
    other["messages"][1]["weight"] = 0
    assert row_key(other) != row_key(ROW)
    kinds = [
        ROW,
        {"text": "Hi"},
        {"prompt": ROW["messages"][:1], "chosen": ROW["messages"][1:], "rejected": ROW["messages"][:1]},
        {"prompt": ROW["messages"][:1], "completion": ROW["messages"][1:], "label": True},
        {"prompt": ROW["messages"][:1], "completion": ROW["messages"][1:], "label": False},
    ]
    assert len({row_key(each) for each in kinds}) == len(kinds)
    with pytest.raises(ValueError, match="colour"):
        row_key({"colour": 1})


# --- Edits ----------------------------------------------------------------------------------------------------


def test_an_edit_that_changes_nothing_is_none():
    assert check_edit(copy.deepcopy(ROW), ROW) is None


@pytest.mark.parametrize(
    ("edited", "words"),
    [
        ("x", "str"),
        ({"messages": []}, "no messages"),
        ({"messages": ROW["messages"][:1]}, "last message"),
        ({"messages": [{"role": "user", "content": " "}, ROW["messages"][1]]}, "Message 1"),
        ({"messages": [{"role": "boss", "content": "x"}, ROW["messages"][1]]}, "no role"),
        (ROW | {"line": 3}, "line"),
        ({"text": "x"}, "text"),
    ],
)
def test_an_edit_that_is_no_row_any_more_is_refused_in_words(edited, words):
    with pytest.raises(BadEdit, match=words):
        check_edit(edited, ROW)


# --- The door -----------------------------------------------------------------------------------------------


def test_a_review_keeps_who_when_and_why_and_takes_the_place_of_the_one_before(version, alice):
    judge(version, 3, verdict="star", rating=4, tags=[" kind ", "kind", "short"], note=" Just right. ")
    kept = judge(version, 3, verdict="star", rating=5, tags=["kind", "short"], note="Just right.")
    assert Review.objects.get() == kept
    assert (kept.owner, kept.reviewer, kept.rating, kept.tags) == (alice, alice, 5, ["kind", "short"])
    assert (kept.note, kept.row_index, kept.version) == ("Just right.", 3, version)
    assert kept.row["messages"][0]["content"] == "Question 3?"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"rating": 0}, "0"),
        ({"rating": 6}, "6"),
        ({"rating": 15}, "15"),
        ({"rating": "4"}, "'4'"),
        ({"rating": 4.0}, "4.0"),
        ({"rating": True}, "True"),
        ({"verdict": "gold"}, "gold"),
        ({"tags": "a"}, "'a'"),
        ({"tags": [1]}, "1"),
        ({"tags": ["x" * 61]}, "61"),
        ({"tags": [str(n) for n in range(21)]}, "21"),
        ({"note": "x" * 2001}, "2001"),
        ({"note": 3}, "3"),
        ({"edited": {"messages": []}}, "no messages"),
    ],
)
def test_what_cannot_be_a_review_is_refused_with_its_value(version, said, words):
    with pytest.raises(services.BadReview, match=words):
        judge(version, 0, **said)
    assert not Review.objects.exists()


def test_another_row_than_was_seen_is_never_judged(version):
    key = queue(version)["rows"][1]["key"]
    with pytest.raises(services.NoSuchRow, match="Row 0"):
        judge(version, 0, key=key, verdict="star")
    with pytest.raises(services.NoSuchRow, match="10"):
        judge(version, 10)
    assert judge(version, 1, key=key, verdict="star")


def test_undoing_takes_the_review_back_as_if_nothing_was_seen(version):
    judge(version, 0)
    assert queue(version)["progress"]["seen"] == 1
    assert judge(version, 0, is_seen=False) is None
    assert queue(version)["progress"] == {"total": 10, "seen": 0, "stars": 0, "rejected": 0}


def test_a_row_with_a_nul_can_be_judged(alice):
    row = {"messages": [{"role": "user", "content": "a\x00b"}, {"role": "assistant", "content": "c"}]}
    kept = services.record_review(owner=alice, reviewer=alice, row=row, source="chat", verdict="star")
    assert kept.row["messages"][0]["content"] == "a\ufffdb"
    assert services.offer_rows(owner=alice, source="chat", rows=[row]) == 0


# --- Rows of chats and batches come through the same door -------------------------------------------------------


def test_rows_of_a_chat_are_offered_once_judged_and_exported_like_any_other(alice, mallory):
    rows = [chat("From a chat?", "Yes."), chat("Another?", "No.")]
    assert services.offer_rows(owner=alice, source="chat", rows=rows) == 2
    assert services.offer_rows(owner=alice, source="batch", rows=[*rows, chat("Third?", "3.")]) == 1
    waiting = selectors.inbox(alice, selectors.QueueFilter())
    assert [row["source"] for row in waiting["rows"]] == ["chat", "chat", "batch"]
    assert selectors.inbox(mallory, selectors.QueueFilter())["rows"] == []

    services.record_review(owner=alice, reviewer=alice, row=rows[0], source="chat", verdict="star")
    left = selectors.inbox(alice, selectors.QueueFilter())
    assert len(left["rows"]) == 2
    assert left["progress"] == {"total": 3, "seen": 1, "stars": 1, "rejected": 0}
    assert services.offer_rows(owner=alice, source="chat", rows=rows) == 0
    (star,) = selectors.gold_stars(alice, selectors.StarFilter(source="chat"))
    assert star.row == content_of(rows[0])

    services.record_review(owner=alice, reviewer=alice, row=rows[0], source="chat", is_seen=False)
    assert len(selectors.inbox(alice, selectors.QueueFilter())["rows"]) == 3


def test_what_is_no_row_or_no_source_cannot_be_offered(alice):
    with pytest.raises(services.BadReview, match="dataset"):
        services.offer_rows(owner=alice, source="dataset", rows=[ROW])
    with pytest.raises(services.BadReview, match="colour"):
        services.offer_rows(owner=alice, source="chat", rows=[{"colour": 1}])


# --- The queue ----------------------------------------------------------------------------------------------


def test_the_queue_gives_what_was_not_seen_and_goes_on_from_its_place(version):
    first = queue(version, count=3)
    assert (numbers(first), first["next"]) == ([0, 1, 2], 3)
    judge(version, 4, verdict="star")
    second = queue(version, count=3, after=3)
    assert (numbers(second), second["next"]) == ([3, 5, 6], 7)
    last = queue(version, count=3, after=7)
    assert (numbers(last), last["next"]) == ([7, 8, 9], None)
    assert last["progress"] == {"total": 10, "seen": 1, "stars": 1, "rejected": 0}


def test_the_queue_filters_by_what_was_said(version):
    judge(version, 1, verdict="star", rating=5, tags=["kind", "Größe"])
    judge(version, 2, verdict="reject", rating=1)
    judge(version, 3)
    better = copy.deepcopy(queue(version, show="all")["rows"][4]["row"])
    better["messages"][1]["content"] = "Better."
    judge(version, 4, edited=better)
    assert numbers(queue(version, show="star")) == [1]
    assert numbers(queue(version, show="reject")) == [2]
    assert numbers(queue(version, show="seen")) == [1, 2, 3, 4]
    assert numbers(queue(version, show="edited")) == [4]
    assert numbers(queue(version, rating="5")) == [1]
    assert numbers(queue(version, tag="Größe")) == [1]
    assert numbers(queue(version, tag="kin")) == []
    assert numbers(queue(version)) == [0, 5, 6, 7, 8, 9]
    review = queue(version, show="edited")["rows"][0]["review"]
    assert review["edited"]["messages"][1]["content"] == "Better."


def test_the_queue_filters_by_what_is_in_the_rows(alice):
    rows = [
        chat(f"Frage {n}?", "Straße" if n % 2 else "x", split="held_out" if n < 2 else "train")
        for n in range(6)
    ]
    version = services.create_dataset(owner=alice, name="Words", text=json_lines(*rows))
    assert numbers(queue(version, text="STRASSE")) == [1, 3, 5]
    assert numbers(queue(version, text="user")) == []
    assert numbers(queue(version, split="held_out")) == [0, 1]
    assert numbers(queue(version, split="held_out", text="straße")) == [1]


def test_the_queue_filters_by_what_was_found_in_the_file(alice):
    rows = [
        chat("One?", "1."),
        {"messages": [*chat("Two?", "2.")["messages"], {"role": "user", "content": "So?"}]},
    ]
    version = services.create_dataset(owner=alice, name="Faults", text=json_lines(*rows))
    assert selectors.fault_codes(version) == ["role_order"]
    assert numbers(queue(version, code="role_order")) == [1]


def test_a_shuffle_is_the_same_for_the_same_seed(version):
    one, again, other = (numbers(queue(version, order="random", seed=seed)) for seed in ("7", "7", "8"))
    assert one == again != other
    assert sorted(one) == sorted(other) == list(range(10))


def test_a_filter_that_cannot_be_counts_as_not_given(version):
    asked = {"show": "x", "rating": "9", "split": "y", "order": "z", "seed": "-1"}
    assert numbers(queue(version, **asked)) == list(range(10))


def test_a_long_search_is_cut_in_pieces(version, monkeypatch):
    monkeypatch.setattr("datasets_app.selectors.curation.SCAN_LIMIT", 4)
    first = queue(version, text="Question 9")
    assert (first["rows"], first["next"]) == ([], 4)
    second = queue(version, text="Question 9", after=8)
    assert (numbers(second), second["next"]) == ([9], None)


def test_reviews_outlive_versions(version, dataset):
    judge(version, 5, verdict="star")
    newer = services.add_version(
        dataset=dataset, text=json_lines(chat("New?", "New."), *chats(10).splitlines())
    )
    answer = queue(newer, show="star")
    assert [row["row"]["messages"][0]["content"] for row in answer["rows"]] == ["Question 5?"]
    assert answer["progress"] == {"total": 11, "seen": 1, "stars": 1, "rejected": 0}


def test_mallory_sees_no_review_of_alices(version, mallory):
    judge(version, 0, verdict="star")
    assert not selectors.gold_stars(mallory, selectors.StarFilter()).exists()
