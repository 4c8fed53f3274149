"""LoRA adapters on one base model: any mixture of them, and of none, in one pass.

The base stays as it was loaded; what an adapter adds is added by hooks to the parts that it changes. Putting an adapter
on costs its own size, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.functional import linear
from torch.utils.hooks import RemovableHandle

from serving.adapter_config import WEIGHTS, by_pattern, rank_of
from serving.embedded.fitting import part_and_side
from serving.protocol import ApiError

# By part of the base: A (rank, in) and B (out, rank), the scaling of the adapter in it.
Weights = dict[str, tuple[torch.Tensor, torch.Tensor]]


def read_weights(directory: Path, config: dict[str, Any], device: str) -> Weights:
    """The weights of a checked adapter directory in float32, as PEFT computes them whatever the base's precision.

    Raises ApiError where one of them is no number, which would reach other answers of a pass.
    """
    sides: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(directory / WEIGHTS).items():
        part, side = part_and_side(name)
        tensor = tensor.to(device=device, dtype=torch.float32)
        tensor = tensor * scaling_of(part, config) if side == "B" else tensor
        if not tensor.isfinite().all():
            raise ApiError(
                f"The adapter's tensor {name} holds what is no number (NaN or infinite).", param="lora_path"
            )
        sides.setdefault(part, {})[side] = tensor
    return {part: (here["A"], here["B"]) for part, here in sides.items()}


def scaling_of(part: str, config: dict[str, Any]) -> float:
    """PEFT's alpha / rank, or alpha / sqrt(rank) with rsLoRA."""
    rank = rank_of(part, config)
    alpha = by_pattern(config.get("alpha_pattern"), part, config.get("lora_alpha", 8))
    return alpha / (sqrt(rank) if config.get("use_rslora") else rank)


@dataclass(frozen=True, slots=True)
class Stack:
    """The weights of several adapters side by side: `owner` of a part says whose each rank is, by place in `keys`."""

    keys: tuple[str, ...]
    weights: Weights
    owner: dict[str, torch.Tensor]


@dataclass(slots=True)
class Rows:
    """Which adapter each row of a pass is for, by place in the stack; -1: none of them."""

    stack: Stack
    place: torch.Tensor
    foreign: dict[int, torch.Tensor] = field(default_factory=dict)

    def others(self, owner: torch.Tensor) -> torch.Tensor:
        """(rows, 1, ranks): true where a rank is not the row's own."""
        # Most parts share one tensor of owners, so that a pass compares once.
        if id(owner) not in self.foreign:
            self.foreign[id(owner)] = (self.place[:, None] != owner[None, :])[:, None, :]
        return self.foreign[id(owner)]


class Adapters:
    """The adapters on `model` by key. `choose` says which rows of the next passes are whose."""

    def __init__(self, model: torch.nn.Module, device: str):
        self._parts = dict(model.named_modules())
        self._device = device
        self._weights: dict[str, Weights] = {}
        self._hooks: dict[str, RemovableHandle] = {}
        self._now: Weights | Rows | None = None
        self._stack: Stack | None = None

    def put_on(self, key: str, weights: Weights) -> None:
        self._weights[key] = weights
        for part in weights.keys() - self._hooks.keys():
            self._hooks[part] = self._parts[part].register_forward_hook(self._hook(part))

    def take_off(self, key: str) -> None:
        weights = self._weights.pop(key)
        self._now = None
        if self._stack and key in self._stack.keys:
            self._stack = None
        for part in weights.keys() - {part for other in self._weights.values() for part in other}:
            self._hooks.pop(part).remove()

    def choose(self, keys: Sequence[str | None], in_use: Sequence[str] = ()) -> None:
        """`keys`: the adapter of each row of the pass, None for the base. `in_use` are those soon wanted again."""
        wanted = {key for key in keys if key is not None}
        if not wanted:
            self._now = None
        elif len(wanted) == 1 and None not in keys:
            self._now = self._weights[wanted.pop()]
        else:
            self._now = self._mixture(keys, wanted, in_use)

    def _mixture(self, keys: Sequence[str | None], wanted: set[str], in_use: Sequence[str]) -> Rows:
        if self._stack is None or not wanted <= set(self._stack.keys):
            self._stack = stack([*dict.fromkeys([*sorted(wanted), *in_use])], self._weights)
        places = {key: place for place, key in enumerate(self._stack.keys)}
        place = [places.get(key, -1) if key is not None else -1 for key in keys]
        return Rows(self._stack, torch.tensor(place, device=self._device))

    def _hook(self, part: str):
        def add(_module, inputs, output):
            now = self._now
            if now is None:
                return None
            weights = now.stack.weights if isinstance(now, Rows) else now
            if part not in weights:
                return None
            a, b = weights[part]
            hidden = linear(inputs[0].to(a.dtype), a)
            if isinstance(now, Rows):
                # Filled, not multiplied: what overflowed for one adapter must not reach the rows of another.
                hidden = hidden.masked_fill_(now.others(now.stack.owner[part]), 0)
            return (output + linear(hidden, b)).to(output.dtype)

        return add


def stack(keys: Sequence[str], weights: dict[str, Weights]) -> Stack:
    """Copies the weights of `keys` side by side, so that a pass takes one step a part for all of them."""
    parts = dict.fromkeys(part for key in keys for part in weights[key])
    joined, owners, same = {}, {}, {}
    for part in parts:
        here = [(place, *weights[key][part]) for place, key in enumerate(keys) if part in weights[key]]
        joined[part] = (torch.cat([a for _, a, _ in here]), torch.cat([b for _, _, b in here], dim=1))
        layout = tuple((place, len(a)) for place, a, _ in here)
        if layout not in same:
            owner = [place for place, rank in layout for _ in range(rank)]
            same[layout] = torch.tensor(owner, device=here[0][1].device)
        owners[part] = same[layout]
    return Stack(tuple(keys), joined, owners)
