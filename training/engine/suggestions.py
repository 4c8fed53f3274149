"""Too big: what to change, found by trying. No torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from training.engine.config import TrainingConfig
from training.engine.estimate import Estimate

LEAST_LENGTH, LEAST_RANK = 256, 4
MOST_ACCUMULATION = 256


@dataclass(frozen=True)
class Change:
    """Settings that would take less memory: `code` names the kind, `after` is what they come to.

    Kinds: `nf4`, `recompute`, `batch`, `length`, `rank`, `split`; `together`: several of them.
    """

    code: str
    changes: dict[str, Any]
    after: Estimate
    saves_bytes: int

    @property
    def fits(self) -> bool:
        return self.after.fits


def suggest(
    config: TrainingConfig,
    now: Estimate,
    tried: Callable[[dict[str, Any]], Estimate],
    *,
    has_fixed_rank: bool = False,
    can_split: bool = True,
) -> list[Change]:
    """Changes in the order in which they cost least of what is learned; those that are enough alone come first.

    `tried(changes)` estimates anew with these settings changed. If none is enough alone, the first that are
    enough together come before all, as `together`. Changes that save nothing are left out. An adapter that is gone on
    from keeps its rank (`has_fixed_rank`); not every method can split the base model (`can_split`).
    """
    found: list[Change] = []
    so_far: dict[str, Any] = {}
    last = now
    for code, tries in _candidates(config, now):
        if (code == "rank" and has_fixed_rank) or (code == "split" and not can_split):
            continue
        change = _first_that_fits(code, tries, now, tried)
        if change is None:
            continue
        found.append(change)
        if not last.fits:
            joined = so_far | change.changes
            last = tried(joined)
            so_far = joined
    fitting = [change for change in found if change.fits]
    if not fitting and last.fits:
        saved = now.memory.total - last.memory.total
        return [Change("together", so_far, last, saved), *found]
    return [*fitting, *(change for change in found if not change.fits)]


def _first_that_fits(code, tries, now: Estimate, tried) -> Change | None:
    """The mildest of `tries` that fits, else the one that saves most; None if none saves anything."""
    best = None
    for changes in tries:
        after = tried(changes)
        saved = now.memory.total - after.memory.total
        if saved > 0 and (best is None or saved > best.saves_bytes):
            best = Change(code, changes, after, saved)
        if after.fits and saved > 0:
            return Change(code, changes, after, saved)
    return best


def _candidates(config: TrainingConfig, now: Estimate) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if now.target.devices > 1 and config.spread != "fsdp":
        yield "split", [{"spread": "fsdp"}]
    if now.target.is_gpu and config.quantization == "none":
        yield "nf4", [{"quantization": "nf4"}]
    if not now.memory.recomputes:
        yield "recompute", [{"activation_checkpointing": "on"}]
    yield "batch", [_smaller_batch(config, size) for size in _halves(config.batch_size, 1)]
    yield "length", [{"max_length": length} for length in _halves(config.max_length, LEAST_LENGTH)]
    yield (
        "rank",
        [
            {"lora_r": rank, "lora_alpha": max(1, config.lora_alpha * rank // config.lora_r)}
            for rank in _halves(config.lora_r, LEAST_RANK)
        ],
    )


def _smaller_batch(config: TrainingConfig, size: int) -> dict[str, Any]:
    """As many rows a step as before: smaller batches, more of them."""
    accumulation = config.gradient_accumulation_steps * config.batch_size // size
    return {"batch_size": size, "gradient_accumulation_steps": min(MOST_ACCUMULATION, accumulation)}


def _halves(value: int, least: int) -> list[int]:
    found = []
    while value // 2 >= least:
        value //= 2
        found.append(value)
    return found
