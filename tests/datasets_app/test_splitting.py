"""Whole conversations are kept aside, always the same ones for the same file."""

import json

import pytest

from datasets_app.importing import import_rows, iterate_rows
from datasets_app.splitting import Conversation, choose_held_out
from tests.datasets_app.files import EQ_12_JSON, chat, chats, json_lines


@pytest.fixture
def split(tmp_path):
    """Imports text: (rows as stored, what was imported)."""

    def run(text):
        source, target = tmp_path / "source", tmp_path / "rows"
        source.write_text(text)
        imported = import_rows(source, target)
        return list(iterate_rows(target)), imported

    return run


def conversations(*rows, wanted=None):
    return {f"c{number}": Conversation(count, wanted) for number, count in enumerate(rows)}


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0), (4, 0), (5, 1), (8, 1), (20, 3), (100, 12), (1000, 120)]
)
def test_about_an_eighth_is_kept_aside_from_five_conversations_on(count, expected):
    assert len(choose_held_out(conversations(*[1] * count), "seed")) == expected


def test_the_choice_depends_on_the_file_and_not_on_the_order():
    many = conversations(*[1] * 50)
    backwards = dict(reversed(many.items()))
    assert choose_held_out(many, "a") == choose_held_out(backwards, "a") != choose_held_out(many, "b")


@pytest.mark.parametrize("seed", ["a", "b", "c", "d", "e"])
def test_one_giant_conversation_is_not_kept_aside(seed):
    held_out = choose_held_out(conversations(500, *[1] * 30), seed)
    assert held_out
    assert "c0" not in held_out


@pytest.mark.parametrize("seed", ["a", "b", "c", "d", "e"])
def test_five_equal_conversations_give_exactly_one(seed):
    assert len(choose_held_out(conversations(*[10] * 5), seed)) == 1


def test_a_file_that_names_its_test_rows_has_decided(split):
    rows = [chat(f"q{number}?") for number in range(20)] + [chat("t?", split="held_out")]
    stored, imported = split(json_lines(*rows))
    assert [row["split"] for row in stored] == ["train"] * 20 + ["held_out"]
    assert (imported.train_count, imported.held_out_count) == (20, 1)


def test_rows_marked_for_learning_are_never_drawn(split):
    rows = [chat(f"q{number}?", split="train" if number % 2 else None) for number in range(40)]
    stored, imported = split(json_lines(*rows))
    assert imported.held_out_count > 0
    assert all(row["split"] == "train" for number, row in enumerate(stored) if number % 2)


def test_a_conversation_with_any_test_row_is_a_test_as_a_whole(split):
    rows = [
        chat("a?", conversation="k", split="train"),
        chat("b?", conversation="k", split="held_out"),
        chat("c?"),
    ]
    stored, _ = split(json_lines(*rows))
    assert [row["split"] for row in stored] == ["held_out", "held_out", "train"]


def test_every_stored_row_is_a_chat_row(split):
    stored, imported = split(chats(30))
    assert imported.row_count == len(stored) == 30
    for number, row in enumerate(stored, 1):
        assert set(row) == {"messages", "conversation", "line", "split"}
        assert row["line"] == number
        assert row["messages"][-1]["role"] == "assistant"
    assert sum(row["split"] == "held_out" for row in stored) == imported.held_out_count == 4


def test_eq_12_keeps_whole_conversations_together(tmp_path):
    imported = import_rows(EQ_12_JSON, tmp_path / "rows")
    rows = list(iterate_rows(tmp_path / "rows"))
    train = {row["conversation"] for row in rows if row["split"] == "train"}
    held_out = {row["conversation"] for row in rows if row["split"] == "held_out"}
    assert not train & held_out
    assert (imported.row_count, imported.conversation_count) == (44, 12)
    assert imported.held_out_conversation_count == len(held_out) >= 1
    assert 4 <= imported.held_out_count <= 10


def test_the_same_file_gives_the_same_bytes(tmp_path):
    written = []
    for name in ("a", "b"):
        import_rows(EQ_12_JSON, tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_a_part_of_the_rows_can_be_read(tmp_path, split):
    split(chats(10))
    assert [row["line"] for row in iterate_rows(tmp_path / "rows", 3, 6)] == [4, 5, 6]
    assert list(iterate_rows(tmp_path / "rows", 10, 20)) == []


def test_text_of_any_language_survives(split):
    text = 'Grüße, 你好, 🙂, \u2028 and \\ " \n\t'
    stored, _ = split(json.dumps(chat(text, text)))
    assert [message["content"] for message in stored[0]["messages"]] == [text, text]
