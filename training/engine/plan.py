"""How many steps a training takes: the settings, fitted to the number of examples."""

import math
from dataclasses import dataclass

from training.engine.config import TrainingConfig

CHECKS_PER_RUN = 12
# A CPU gains nothing from a pass of more tokens, and a small pass is mostly overhead.
CPU_TOKENS_PER_PASS = 1024


@dataclass(frozen=True)
class FittedPlan:
    """What will be done. A step takes `rows_per_step` rows, the last one of an epoch what is left."""

    rows: int
    total_steps: int
    steps_per_epoch: int
    epochs: int
    batch_size: int
    gradient_accumulation_steps: int
    eval_steps: int
    is_fitted: bool

    @property
    def rows_per_step(self) -> int:
        return self.batch_size * self.gradient_accumulation_steps

    @property
    def rows_seen(self) -> int:
        """Rows over the whole training, each counted as often as it is seen."""
        whole, rest = divmod(self.total_steps, self.steps_per_epoch)
        return whole * self.rows + min(rest * self.rows_per_step, self.rows)


def tokens_per_pass(plan: FittedPlan, longest: int, *, is_gpu: bool) -> int:
    """How many tokens, with padding, go through the model at once.

    `longest` is the longest row in tokens. On a GPU as many as `batch_size` of the longest rows; a step's
    result does not depend on it.
    """
    return plan.batch_size * longest if is_gpu else max(CPU_TOKENS_PER_PASS, longest)


def fit_to_data(config: TrainingConfig, rows: int) -> FittedPlan:
    """At least `min_steps` steps: accumulation comes down first, then epochs go up. `max_steps` has the last word.

    Raises ValueError without rows.
    """
    if rows < 1:
        raise ValueError(f"A training needs at least one row, not {rows}.")
    batches = math.ceil(rows / config.batch_size)
    accumulation, epochs = config.gradient_accumulation_steps, config.epochs
    while accumulation > 1 and math.ceil(batches / accumulation) * epochs < config.min_steps:
        accumulation -= 1
    steps_per_epoch = math.ceil(batches / accumulation)
    epochs = max(epochs, math.ceil(config.min_steps / steps_per_epoch))
    total = steps_per_epoch * epochs
    if config.max_steps is not None and config.max_steps < total:
        total = config.max_steps
        epochs = math.ceil(total / steps_per_epoch)
    return FittedPlan(
        rows=rows,
        total_steps=total,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        batch_size=config.batch_size,
        gradient_accumulation_steps=accumulation,
        eval_steps=config.eval_steps or max(1, math.ceil(total / CHECKS_PER_RUN)),
        is_fitted=(accumulation, epochs) != (config.gradient_accumulation_steps, config.epochs),
    )
