import json

import pytest

from rendering import Renderer
from tests.engine.tiny import chat_rows
from training.engine.batches import make_pass, make_passes
from training.engine.data import IGNORED, read_examples
from training.engine.errors import EngineError


@pytest.fixture
def read(tiny_model, tmp_path):
    def reading(rows, max_length=256):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
        return read_examples(path, Renderer.from_directory(tiny_model), max_length)

    return reading


def test_labels_are_the_answer_and_its_end_and_nothing_else(read, tiny_model):
    rows = chat_rows()
    found = read(rows)
    assert (len(found.train), len(found.held_out)) == (9, 3)
    learned = [label for label in found.train[0].labels if label != IGNORED]
    renderer = Renderer.from_directory(tiny_model)
    assert (
        renderer.decode(learned, skip_special_tokens=False)
        == rows[0]["messages"][1]["content"] + "<|im_end|>"
    )


def test_a_row_that_does_not_fit_is_left_out_by_its_line(read):
    rows = chat_rows()
    rows[2]["messages"][1]["content"] = "word " * 300
    found = read(rows)
    assert found.too_long == ["line 3"] and len(found.train) == 8


def test_when_no_row_fits_the_length_is_named(read):
    with pytest.raises(EngineError, match="fits into 8 tokens"):
        read(chat_rows(), max_length=8)


def test_a_wrong_split_is_named(read):
    with pytest.raises(EngineError, match="Row 1 .* split 'test'"):
        read([{**chat_rows()[0], "split": "test"}])


def test_a_text_is_learned_whole_with_its_end(read, tiny_model):
    found = read([{"text": "The sun rises.", "split": "train"}])
    (example,) = found.train
    words = Renderer.from_directory(tiny_model).decode(example.input_ids, skip_special_tokens=False)
    assert words == "The sun rises.<|im_end|>"
    assert example.labels == example.input_ids


def test_a_long_text_loses_its_end_and_the_tokens_are_counted(read):
    whole = len(read([{"text": "word " * 300}], max_length=10_000).train[0].input_ids)
    found = read([{"text": "word " * 300}, {"text": "short"}], max_length=100)
    assert len(found.train[0].input_ids) == 100
    assert (found.shortened_rows, found.cut_tokens, found.too_long) == (1, whole - 100, [])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": [], "chosen": [], "rejected": []}, "two answers to compare"),
        ({"prompt": [], "completion": [], "label": True}, "marked as good or bad"),
        ({"color": "red"}, "no messages and no text"),
        ({"text": " "}, "no messages and no text"),
    ],
)
def test_rows_of_another_kind_are_told(read, row, said):
    with pytest.raises(EngineError, match=said):
        read([row])


def test_tools_that_the_template_does_not_show_are_told(read):
    row = chat_rows()[0]
    tools = [{"type": "function", "function": {"name": "find_hours"}}]
    with pytest.raises(EngineError, match="does not tell the model its tools .find_hours"):
        read([{**row, "tools": tools}])


def test_a_file_that_is_not_there_is_told(tiny_model, tmp_path):
    with pytest.raises(EngineError, match="cannot be read"):
        read_examples(tmp_path / "nothing.jsonl", Renderer.from_directory(tiny_model), 256)


def test_a_pass_points_each_position_at_its_next_token(read):
    examples = read(chat_rows()).train[:3]
    part = make_pass(examples)
    width = part.input_ids.shape[1]
    assert part.tokens == sum(len(example.input_ids) for example in examples)
    assert part.targets.numel() == sum(example.trained_tokens for example in examples)
    for position, target in zip(part.positions.tolist(), part.targets.tolist(), strict=True):
        row, column = divmod(position, width)
        assert examples[row].labels[column + 1] == target == examples[row].input_ids[column + 1]


def test_passes_keep_to_the_budget_and_lose_no_row(read):
    examples = read(chat_rows()).train
    passes = make_passes(examples, 120)
    assert len(passes) > 1 and all(
        part.input_ids.numel() <= 120 or len(part.input_ids) == 1 for part in passes
    )
    assert sum(len(part.input_ids) for part in passes) == len(examples)
    assert make_passes([], 120) == []
