"""Three ways to go about a training, by method and size of the data: a quick look, balanced, the best. No Django.

Every number is a rule of thumb that the field shares: 1 pass over more than 10,000 rows, 3 over fewer; rank 16 for a
style, more for a task; small data never below some dozens of steps. `docs/decisions/0077` has the sources.
"""

from dataclasses import dataclass
from typing import Any

from training.engine.config import METHOD_DEFAULTS, TrainingConfig

QUICK, BALANCED, BEST = "quick", "balanced", "best"
NAMES = (QUICK, BALANCED, BEST)
MANY_ROWS, SOME_ROWS = 10_000, 1_000
LARGEST_RANK = 64  # what servers of several adapters are commonly set up for


@dataclass(frozen=True)
class Preset:
    """`config` holds what differs from what suits the base model."""

    name: str
    config: dict[str, Any]


def presets_for(
    method: str, rows: int, *, held_out_rows: int = 0, recommended: dict[str, Any] | None = None
) -> tuple[Preset, ...]:
    """Quick look, balanced and best for `rows` examples. `recommended` is what the base model says suits it."""
    base = {**_defaults(method), **(recommended or {})}
    return tuple(Preset(name, _config(name, method, rows, held_out_rows, base)) for name in NAMES)


def preset_config(
    name: str, method: str, rows: int, *, held_out_rows: int = 0, recommended: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The settings of one of them; those of balanced for a name that is none."""
    found = {
        preset.name: preset.config
        for preset in presets_for(method, rows, held_out_rows=held_out_rows, recommended=recommended)
    }
    return found.get(name, found[BALANCED])


def _defaults(method: str) -> dict[str, Any]:
    return {**TrainingConfig().to_dict(method), **METHOD_DEFAULTS[method]}


def _config(name: str, method: str, rows: int, held_out_rows: int, base: dict[str, Any]) -> dict[str, Any]:
    rank, alpha, epochs = base["lora_r"], base["lora_alpha"], base["epochs"]
    if name == QUICK:
        return {"epochs": 1, "min_steps": 20, "max_steps": 100} | _of_rank(max(4, rank // 2), rank, alpha)
    if name == BEST:
        large = max(rank, min(LARGEST_RANK, 2 * rank))
        more = {"epochs": _most_epochs(method, rows, epochs), "min_steps": 120}
        return more | _of_rank(large, rank, alpha) | _stopping(3, held_out_rows)
    fewer = {"epochs": 1} if rows > MANY_ROWS and epochs > 1 else {}
    return fewer | _stopping(4, held_out_rows)


def _most_epochs(method: str, rows: int, epochs: int) -> int:
    """More passes where there is little; early stopping ends what goes too far."""
    if method != "sft":
        return 2 if rows <= SOME_ROWS else 1
    return max(epochs, 5) if rows <= SOME_ROWS else max(2, min(epochs, 3))


def _stopping(checks: int, held_out_rows: int) -> dict[str, Any]:
    """Nothing kept aside, nothing to stop by."""
    return {"early_stopping_checks": checks} if held_out_rows else {}


def _of_rank(rank: int, old_rank: int, alpha: int) -> dict[str, Any]:
    """As strong for its size as before."""
    return {"lora_r": rank, "lora_alpha": max(1, round(alpha * rank / old_rank))}
