"""Turns what the trainer does into events: each step, and the loss on the held-out rows."""

import math
import time
from typing import Any

from transformers import TrainerCallback

from training.engine.data import Example
from training.engine.errors import NAN_LOSS, EngineError
from training.engine.plan import FittedPlan
from training.engine.progress import Reporter


class Watcher(TrainerCallback):
    """Reports every step and checks `held_out` at step 0 (the base model), every `eval_steps`, and at the end.

    `trainer` is set once it exists. Raises EngineError (nan_loss) as soon as a loss is no number.
    """

    def __init__(
        self, reporter: Reporter, plan: FittedPlan, learning_rate: float, held_out: list[Example], budget: int
    ):
        self.reporter = reporter
        self.plan = plan
        self.learning_rate = learning_rate
        self.held_out = held_out
        self.budget = budget
        self.trainer: Any = None
        self.points: list[dict] = []
        self.checks: list[dict] = []
        self.begun = self.checking = 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.check(0)
        self.begun, self.checking = time.monotonic(), 0.0

    def on_log(self, args, state, control, logs=None, **kwargs):
        # The trainer logs once more at its very end, without a loss.
        if "loss" not in logs:
            return
        step, loss = state.global_step, float(logs["loss"])
        if not math.isfinite(loss):
            raise EngineError(
                NAN_LOSS,
                f"The loss is no number any more at step {step} (learning rate {self.learning_rate:g}).",
                "Lower the learning rate, to a tenth say, and look for empty or very odd examples.",
            )
        spent = time.monotonic() - self.begun
        point = {
            "step": step,
            "epoch": round(state.epoch, 4),
            "loss": loss,
            "learning_rate": float(logs["learning_rate"]),
            "grad_norm": float(logs["grad_norm"]),
            "tokens": self.trainer.tokens_seen,
            "tokens_per_second": round(self.trainer.tokens_seen / max(1e-9, spent - self.checking), 1),
            "eta_seconds": round(spent / step * (self.plan.total_steps - step), 1),
        }
        self.points.append(point)
        self.reporter.report("step", **point)
        if step % self.plan.eval_steps == 0 or step == self.plan.total_steps:
            self.check(step)

    def check(self, step: int) -> None:
        """Measures and reports the held-out loss, if any rows are held out."""
        if not self.held_out:
            return
        begun = time.monotonic()
        loss = self.trainer.held_out_loss(self.held_out, self.budget)
        self.checking += time.monotonic() - begun
        self.checks.append({"step": step, "eval_loss": loss, "eval_rows": len(self.held_out)})
        self.reporter.report("evaluated", **self.checks[-1])

    def summary(self, seconds: float) -> dict:
        """What `finished` says, with every step and check as `history`; `train_loss` is that of the last epoch."""
        last = [point["loss"] for point in self.points[-self.plan.steps_per_epoch :]]
        return {
            "steps": self.points[-1]["step"],
            "tokens": self.trainer.tokens_seen,
            "seconds": round(seconds, 2),
            "eval_loss_base": self.checks[0]["eval_loss"] if self.checks else None,
            "eval_loss": self.checks[-1]["eval_loss"] if self.checks else None,
            "train_loss": sum(last) / len(last),
            "history": {"steps": self.points, "evaluations": self.checks},
        }
