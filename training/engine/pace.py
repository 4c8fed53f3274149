"""When what happens in a training, how fast it goes, and how long it will take."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Rhythm:
    """When what happens, in steps. `checkpoint_steps` None: at every check."""

    total_steps: int
    steps_per_epoch: int
    eval_steps: int
    learning_rate: float
    checkpoint_steps: int | None = None
    checkpoint_seconds: float = 600.0
    early_stopping_checks: int | None = None

    def is_check(self, step: int) -> bool:
        return step % self.eval_steps == 0 or step == self.total_steps

    def is_checkpoint(self, step: int) -> bool:
        return step % (self.checkpoint_steps or self.eval_steps) == 0


class Clock:
    """Speed and time to go of this attempt, from the step and the tokens at which it began."""

    def __init__(self, step: int, tokens: int):
        self._step = step
        self._tokens = tokens
        self._begun = time.monotonic()
        self._left_out = 0.0

    def leave_out(self, seconds: float) -> None:
        """Such a time was not spent on steps."""
        self._left_out += seconds

    def spent(self) -> float:
        return time.monotonic() - self._begun

    def tokens_per_second(self, tokens: int) -> float:
        return round((tokens - self._tokens) / max(1e-9, self.spent() - self._left_out), 1)

    def eta_seconds(self, step: int, total: int) -> float:
        return round(self.spent() / max(1, step - self._step) * (total - step), 1)
