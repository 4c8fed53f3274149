"""Answers to tensors: passes in which every row's answer gets a log-probability."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from training.engine.comparisons import Marked, Pair
from training.engine.data import IGNORED, Example


@dataclass(frozen=True)
class AnswerPass:
    """Rows that go through the model together, padded on the right with zeros.

    `input_ids` is (rows, longest). `positions` index the flattened hidden states whose next token is scored,
    `targets` are those tokens, `is_answer` tells which of them belong to the answer; all three are (scored,).
    `is_good` is (rows,): of pairs the first half is the chosen, the second half the rejected answers in the same
    order. `tokens` counts tokens without padding. As in `batches.Pass` there is no attention mask.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    is_answer: torch.Tensor
    is_good: torch.Tensor
    tokens: int

    def to(self, device: torch.device) -> "AnswerPass":
        values = (getattr(self, field.name) for field in fields(self))
        return AnswerPass(
            *(v.to(device, non_blocking=True) if isinstance(v, torch.Tensor) else v for v in values)
        )

    def per_row(self, values: torch.Tensor) -> torch.Tensor:
        """(rows,): the sum of each row's part of `values`, which is (scored,)."""
        grid = values.new_zeros(self.input_ids.numel()).index_copy(0, self.positions, values)
        return grid.view(self.input_ids.shape).sum(1)

    @property
    def answer_lengths(self) -> torch.Tensor:
        """(rows,): tokens of each answer."""
        return self.per_row(self.is_answer.float())


def make_answer_pass(
    examples: Sequence[Example], is_good: Sequence[bool], *, with_prompts: bool = False
) -> AnswerPass:
    """`with_prompts` scores every token of the good rows, not of their answers alone."""
    longest = max(len(example.input_ids) for example in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    scored = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    for index, (example, good) in enumerate(zip(examples, is_good, strict=True)):
        length = len(example.input_ids)
        input_ids[index, :length] = torch.tensor(example.input_ids)
        labels[index, : length - 1] = torch.tensor(example.labels[1:])
        wanted = example.input_ids if with_prompts and good else example.labels
        scored[index, : length - 1] = torch.tensor(wanted[1:])
    positions = (scored.flatten() != IGNORED).nonzero().flatten()
    return AnswerPass(
        input_ids=input_ids,
        positions=positions,
        targets=scored.flatten()[positions],
        is_answer=labels.flatten()[positions] != IGNORED,
        is_good=torch.tensor(list(is_good)),
        tokens=sum(len(example.input_ids) for example in examples),
    )


def longest_of(row: Pair | Marked) -> int:
    """Tokens that this row takes in a pass of its own, with padding."""
    return len(row.examples) * max(len(example.input_ids) for example in row.examples)


def in_groups(rows: Sequence[Pair] | Sequence[Marked], budget: int) -> list[list]:
    """`rows` by length, in groups of at most `budget` tokens with padding (or one row, if that takes more)."""
    groups: list[list] = []
    together: list = []
    for row in sorted(rows, key=longest_of):
        if together and (len(together) + 1) * longest_of(row) > budget:
            groups.append(together)
            together = []
        together.append(row)
    return [*groups, together] if together else groups


def pair_pass(pairs: Sequence[Pair], *, with_prompts: bool = False) -> AnswerPass:
    examples = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    is_good = [True] * len(pairs) + [False] * len(pairs)
    return make_answer_pass(examples, is_good, with_prompts=with_prompts)


def marked_pass(rows: Sequence[Marked]) -> AnswerPass:
    return make_answer_pass([row.example for row in rows], [row.is_good for row in rows])
