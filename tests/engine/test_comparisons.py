"""Preferences and marked answers, from a file to token ids."""

import json

import pytest

from rendering import Renderer
from tests.engine.tiny import preference_rows, unpaired_rows
from training.engine.answer_passes import in_groups, longest_of, marked_pass, pair_pass
from training.engine.comparisons import read_marked, read_pairs
from training.engine.data import IGNORED
from training.engine.errors import EngineError


@pytest.fixture
def renderer(tiny_model):
    return Renderer.from_directory(tiny_model)


@pytest.fixture
def read(renderer, tmp_path):
    def reading(rows, reader=read_pairs, max_length=256):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return reader(path, renderer, max_length)

    return reading


def learned(example, renderer):
    return renderer.decode([label for label in example.labels if label != IGNORED], skip_special_tokens=False)


def test_of_a_pair_both_answers_are_learned_behind_one_prompt(read, renderer):
    rows = preference_rows()
    found = read(rows)
    assert (len(found.train), len(found.held_out)) == (9, 3)
    pair = found.train[0]
    for example, messages in ((pair.chosen, rows[0]["chosen"]), (pair.rejected, rows[0]["rejected"])):
        assert learned(example, renderer) == messages[0]["content"] + "<|im_end|>"
        # Nothing stands behind the end of the answer.
        assert example.labels[-1] == example.input_ids[-1]
    at = pair.chosen.labels.count(IGNORED)
    assert pair.chosen.input_ids[:at] == pair.rejected.input_ids[:at]


def test_a_pair_loses_its_oldest_turns_for_the_longer_answer(read, renderer):
    row = preference_rows()[0]
    turns = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Wait and see."}]
    row = {
        **row,
        "prompt": turns * 9 + row["prompt"],
        "rejected": [{"role": "assistant", "content": "No. " * 20}],
    }
    found = read([row], max_length=150)
    assert found.shortened_rows == 1 and found.dropped_turns > 0
    pair = found.train[0]
    assert max(len(example.input_ids) for example in pair.examples) <= 150
    assert learned(pair.rejected, renderer) == "No. " * 20 + "<|im_end|>"
    assert pair.chosen.labels.count(IGNORED) == pair.rejected.labels.count(IGNORED)


def test_a_pair_of_which_one_answer_does_not_fit_is_left_out_by_its_line(read):
    rows = preference_rows()
    rows[2]["rejected"][0]["content"] = "word " * 300
    found = read(rows)
    assert found.too_long == ["line 3"] and len(found.train) == 8


def test_marks_are_kept_with_their_answers(read, renderer):
    found = read(unpaired_rows(), read_marked)
    assert [row.is_good for row in found.train] == [n % 3 != 1 for n in range(12) if n % 4 != 3]
    first, second = found.train[:2]
    mismatched = first.answered_by(second, 256)
    assert learned(mismatched, renderer) == learned(second.example, renderer)
    assert mismatched.input_ids[: first.answer_at] == first.example.input_ids[: first.answer_at]
    assert len(first.answered_by(second, 30).input_ids) == 30


@pytest.mark.parametrize(
    ("row", "reader", "said"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, read_pairs, "has no prompt; it holds messages"),
        ({"prompt": [{"role": "user", "content": "x"}], "completion": []}, read_pairs, "no chosen; it holds compl"),
        ({"prompt": [{"role": "user", "content": "x"}], "chosen": []}, read_marked, "has no completion"),
        ({**unpaired_rows()[0], "label": "yes"}, read_marked, "has the label 'yes'"),
        ({**preference_rows()[0], "chosen": [{"role": "user", "content": "x"}]}, read_pairs, "must be the assistant's"),
    ],
)  # fmt: skip
def test_a_row_that_is_something_else_is_told_with_what_to_do(read, row, reader, said):
    with pytest.raises(EngineError, match=said) as caught:
        read([row], reader)
    assert caught.value.reason == "bad_data" and caught.value.advice


def test_a_pass_scores_every_answer_and_nothing_else(read):
    pairs = read(preference_rows()).train[:3]
    part = pair_pass(pairs)
    answers = [
        sum(label != IGNORED for label in example.labels) for pair in pairs for example in pair.examples
    ]
    assert part.is_good.tolist() == [True] * 3 + [False] * 3
    assert part.is_answer.all() and part.answer_lengths.sum() == sum(answers)
    assert part.answer_lengths.tolist() == answers[0::2] + answers[1::2]
    assert part.per_row(part.targets.float()).tolist() == [
        sum(label for label in example.labels if label != IGNORED)
        for example in [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    ]


def test_with_prompts_the_good_rows_are_scored_whole(read):
    pair = read(preference_rows()).train[0]
    part = pair_pass([pair], with_prompts=True)
    assert part.targets.numel() == len(pair.chosen.input_ids) - 1 + part.answer_lengths[1]
    assert part.is_answer.sum() == part.answer_lengths.sum() == pair_pass([pair]).targets.numel()


def test_groups_keep_to_the_budget_and_never_part_a_pair(read):
    pairs = read(preference_rows()).train
    groups = in_groups(pairs, 250)
    assert sum(map(len, groups)) == len(pairs) and 1 < len(groups) < len(pairs)
    for group in groups:
        assert pair_pass(group).input_ids.numel() <= 250
    assert [len(group) for group in in_groups(pairs, 1)] == [1] * len(pairs)
    assert longest_of(pairs[0]) == pair_pass(pairs[:1]).input_ids.numel()
    assert marked_pass(read(unpaired_rows(), read_marked).train).is_answer.all()
