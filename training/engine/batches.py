"""Rows to tensors: how the rows of a step are put into passes of like length."""

from dataclasses import dataclass

import torch

from training.engine.data import IGNORED, Example


@dataclass(frozen=True)
class Pass:
    """Rows that go through the model together, padded on the right with zeros.

    `input_ids` is (rows, longest). `positions` index the flattened hidden states that have a trained next
    token, `targets` are those tokens; both are (trained,). `tokens` counts tokens without padding.

    There is no attention mask: attention is causal and the padding stands on the right, so no real position
    ever sees it, and none of it is in `positions`.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    tokens: int

    def to(self, device: torch.device) -> "Pass":
        moved = (
            tensor.to(device, non_blocking=True) for tensor in (self.input_ids, self.positions, self.targets)
        )
        return Pass(*moved, self.tokens)


def make_pass(examples: list[Example]) -> Pass:
    longest = max(len(example.input_ids) for example in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    for index, example in enumerate(examples):
        input_ids[index, : len(example.input_ids)] = torch.tensor(example.input_ids)
        labels[index, : len(example.labels) - 1] = torch.tensor(example.labels[1:])
    flat = labels.flatten()
    positions = (flat != IGNORED).nonzero().flatten()
    return Pass(input_ids, positions, flat[positions], sum(len(example.input_ids) for example in examples))


def idle_pass(example: Example) -> Pass:
    """A pass that learns nothing and counts nothing, for a process that has to go along with others."""
    nothing = torch.zeros(0, dtype=torch.long)
    return Pass(torch.tensor([example.input_ids]), nothing, nothing, 0)


def make_passes(examples: list[Example], budget: int) -> list[Pass]:
    """`examples` by length, in passes of at most `budget` tokens with padding (or one row, if that is longer)."""
    passes, together = [], []
    for example in sorted(examples, key=lambda example: len(example.input_ids)):
        if together and (len(together) + 1) * len(example.input_ids) > budget:
            passes.append(make_pass(together))
            together = []
        together.append(example)
    return [*passes, make_pass(together)] if together else passes
