"""Several processes train one job: which of them this is, what it takes of a step, and how all act alike.

`accelerate launch` starts them and says so in the environment (`training/engine/launching.py`). Every process holds
all rows and the same watcher; each computes its own rows of a step, then the gradients are added up once. Whatever
depends on one process alone, a clock or a word of the worker's say, is told to all before anybody acts
(docs/decisions/0079-several-processes.md). No torch at the top: `__main__` asks before it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from training.engine.errors import is_memory_error

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# How torch, gloo and NCCL say that another process went away in the middle of a talk.
LOST_WORDS = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "gloo",
    "nccl",
    "socket",
)
SPEAKER = "apex/failed"


@dataclass(frozen=True)
class Ranks:
    """This process, `index` of `count`. `is_sharded`: the base model is split over all of them (FSDP).

    Everything here but `shares` is a talk in which all processes take part, in the same order; of one process alone it
    gives back what it was given.
    """

    index: int = 0
    count: int = 1
    is_sharded: bool = False

    @classmethod
    def here(cls) -> Ranks:
        """As the launcher put it into the environment."""
        return cls(
            int(os.environ.get("RANK", "0")),
            int(os.environ.get("WORLD_SIZE", "1")),
            os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true",
        )

    @property
    def is_first(self) -> bool:
        return self.index == 0

    @property
    def is_alone(self) -> bool:
        return self.count == 1

    def meet(self, device: str) -> None:
        """Connects all processes; on `cuda` each takes a GPU of its own from here on."""
        if self.is_alone:
            return
        import torch
        import torch.distributed as dist

        if dist.is_initialized():
            return
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", self.index)))
        # Words and numbers are exchanged between processors, so that no GPU waits for them.
        dist.init_process_group("cuda:nccl,cpu:gloo" if device == "cuda" else "gloo")

    def shares(self, rows: Sequence[T], size: Callable[[T], int]) -> list[list[T]]:
        """`rows` as they are dealt out to the processes, in their order; `size` is in tokens."""
        if self.is_alone:
            return [list(rows)]
        dealt = deal([size(row) for row in rows], self.count)
        return [[rows[index] for index in hand] for hand in dealt]

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes of each of `values`."""
        return self._reduced(values, "SUM")

    def most(self, value: float) -> float:
        return self._reduced([value], "MAX")[0]

    def any(self, flag: bool) -> bool:
        return self.most(flag) > 0

    def from_first(self, flags: Sequence[bool]) -> list[bool]:
        """What the first process says; what the others say is not heard."""
        return [value > 0 for value in self.sum([float(flag) if self.is_first else 0.0 for flag in flags])]

    def each(self, value: Any) -> list[Any]:
        """`value` of every process, in their order."""
        if self.is_alone:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def add_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Every process gets the sum of all gradients; one that computed none adds zeros. None if they are sharded."""
        if self.is_alone or self.is_sharded:
            return
        import torch
        import torch.distributed as dist

        parts = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
        whole = torch.cat(parts)
        dist.all_reduce(whole)
        for parameter, part in zip(parameters, whole.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def _reduced(self, values: Sequence[float], how: str) -> list[float]:
        if self.is_alone:
            return list(values)
        import torch
        import torch.distributed as dist

        numbers = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(numbers, getattr(dist.ReduceOp, how))
        return numbers.tolist()

    # --- The end ---

    def may_say_why(self) -> bool:
        """True for the first process that asks: only one tells why all of them end."""
        if self.is_alone:
            return True
        import torch.distributed as dist

        try:
            store = dist.distributed_c10d._get_default_store()
            return store.add(SPEAKER, 1) == 1
        except (
            RuntimeError,
            ValueError,
        ):  # they have not met, so that all fail alike, or the launcher is gone
            return self.is_first

    def is_lost(self, error: BaseException) -> bool:
        """True if `error` is only that another process went away: that one knows why, or was killed."""
        return not self.is_alone and isinstance(error, RuntimeError) and _is_broken_talk(error)

    def part(self) -> None:
        """Closes the connections."""
        if self.is_alone:
            return
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()


ALONE = Ranks()


def deal(sizes: Sequence[int], hands: int) -> list[list[int]]:
    """Indices of `sizes` for each of `hands`, so that the sums are alike: the largest first, to who has least."""
    dealt: list[list[int]] = [[] for _ in range(hands)]
    sums = [0] * hands
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        least = sums.index(min(sums))
        dealt[least].append(index)
        sums[least] += sizes[index]
    return [sorted(hand) for hand in dealt]


def own_seed(seed: int, index: int) -> int:
    """What the random generators of process `index` begin with; the first keeps the training's own."""
    return (seed + index * 1_000_003) % 2**31


def _is_broken_talk(error: RuntimeError) -> bool:
    import torch.distributed as dist

    words = str(error).lower()
    is_talk = isinstance(error, dist.DistError) or any(part in words for part in LOST_WORDS)
    return is_talk and not is_memory_error(error)
