"""What happens between two steps of a training: reports, checks, samples, checkpoints, pause, and the end.

It knows nothing of how the steps are made: a recipe, or the callback of a library's trainer, calls `begin` once
and `after_step` after each, and everything that it needs from the model it asks of a `Learner`.
"""

import math
import time
from array import array
from pathlib import Path
from typing import Any, Protocol

from training.engine.checkpoints import Snapshot, Tensors, part, part_of, write_checkpoint
from training.engine.control import CHECKPOINT, PAUSE, Control, Paused
from training.engine.errors import NAN_LOSS, EngineError
from training.engine.pace import Clock, Rhythm
from training.engine.progress import Reporter
from training.engine.randomness import Randomness
from training.engine.spreading import ALONE, Ranks

COLUMNS = ("loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second")


class Learner(Protocol):
    """What is trained. `tokens_seen` counts all tokens so far, over all attempts."""

    tokens_seen: int

    def check(self) -> dict[str, Any]:
        """`eval_loss`, `eval_rows` and what the method adds, over all held-out rows; empty without any.

        Draws no random number.
        """

    def sample(self) -> list[dict[str, str]]:
        """Answers of the model as it is now: `question`, `answer`, `expected`. Draws no random number."""

    def memory_bytes(self) -> int:
        """The most memory that was taken at once so far; cheap enough for every step."""

    def adapter(self) -> Tensors:
        """The adapter's weights, named as in PEFT's file."""

    def write_adapter(self, directory: Path, tensors: Tensors) -> None:
        """Leaves adapter_model.safetensors with `tensors` and adapter_config.json in `directory`, nothing else."""

    def saved_parts(self) -> tuple[Tensors, dict[str, Any]]:
        """(tensors, numbers) of everything else that the next step depends on, but for random generators."""


class Watcher:
    """Follows one training from `begin` to `summary`. Without `checkpoints_dir` it writes no checkpoint.

    Each of several processes has one; all decide alike, and the first writes the checkpoints of all.
    """

    def __init__(
        self,
        *,
        rhythm: Rhythm,
        learner: Learner,
        reporter: Reporter,
        control: Control,
        checkpoints_dir: str | Path | None,
        ranks: Ranks = ALONE,
    ):
        self.ranks = ranks
        self.rhythm = rhythm
        self.learner = learner
        self.reporter = reporter
        self.control = control
        self.checkpoints_dir = Path(checkpoints_dir) if checkpoints_dir else None
        self.step = 0
        self.is_done = False
        self.checks: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.best_adapter: Tensors | None = None
        self.history = {name: array("d") for name in COLUMNS}
        self._randomness: Randomness | None = None
        self._seconds_before = 0.0
        self._clock = Clock(0, 0)
        self._checkpoint_at = time.monotonic()

    # --- From the beginning, or from a checkpoint ---

    def restore(self, snapshot: Snapshot) -> None:
        """Takes up the counters of a checkpoint, and its random generators with them at `begin`."""
        own = part_of("watcher", snapshot.numbers)
        self.step, self.is_done = snapshot.step, own["is_done"]
        self.checks, self.best, self._seconds_before = own["checks"], own["best"], own["seconds"]
        self.best_adapter = snapshot.best
        if self.best and self.best["step"] == snapshot.step:
            self.best_adapter = snapshot.adapter
        for name, values in part_of("history", snapshot.tensors).items():
            self.history[name] = array("d", values.tolist())
        self._restore_randomness(snapshot, own["processes"])

    def _restore_randomness(self, snapshot: Snapshot, processes: int) -> None:
        """Each process takes its own; one that was not there then goes on from its seed."""
        if self.ranks.index < processes:
            name = f"random.{self.ranks.index}"
            self._randomness = Randomness(part_of(name, snapshot.numbers), part_of(name, snapshot.tensors))
        if processes != self.ranks.count:
            self.reporter.report(
                "log",
                message=f"The checkpoint of step {self.step} was written by {processes} and is taken up by "
                f"{self.ranks.count} processes: the same rows in the same order, but other dropout and other rounding.",
            )

    def begin(self) -> None:
        """To be called when everything stands and the next thing is a step."""
        if self.step == 0:
            self._check(0)
        elif self._randomness:
            self._randomness.restore()
        self._clock = Clock(self.step, self.learner.tokens_seen)
        self._checkpoint_at = time.monotonic()

    # --- After each step ---

    def after_step(self, loss: float, learning_rate: float, grad_norm: float, **extra: Any) -> bool:
        """Reports the step that was just made and does what is due; True if it was the last.

        `extra` is what the method adds to the event. Raises EngineError (nan_loss) if a number is none, and
        Paused after a pause was asked for and everything is on disk.
        """
        self.step += 1
        self._refuse_nan(loss, grad_norm)
        self._report_step(loss, learning_rate, grad_norm, extra)
        is_best = self.rhythm.is_check(self.step) and self._check(self.step)
        self.is_done = self.step >= self.rhythm.total_steps or self._is_stuck()
        is_pause, is_asked, is_late = self._agreed()
        is_pause = is_pause and not self.is_done
        due = {
            "pause": is_pause,
            "end": self.is_done,
            "asked": is_asked,
            "best": is_best,
            "interval": is_late or self.rhythm.is_checkpoint(self.step),
        }
        if reason := next((reason for reason, holds in due.items() if holds), ""):
            self._write_checkpoint(reason)
        if is_pause:
            self.reporter.report("paused", step=self.step)
            raise Paused(f"paused at step {self.step}")
        return self.is_done

    def _agreed(self) -> list[bool]:
        """Pause, checkpoint, too long without a checkpoint: what the first process was told and reads on its clock."""
        asked = self.control.take()
        is_late = time.monotonic() - self._checkpoint_at >= self.rhythm.checkpoint_seconds
        return self.ranks.from_first([PAUSE in asked, CHECKPOINT in asked, is_late])

    def _refuse_nan(self, loss: float, grad_norm: float) -> None:
        for what, value in (("loss", loss), ("gradient", grad_norm)):
            if not math.isfinite(value):
                raise self._no_number(what, self.step)

    def _no_number(self, what: str, step: int) -> EngineError:
        return EngineError(
            NAN_LOSS,
            f"The {what} is no number any more at step {step} (learning rate {self.rhythm.learning_rate:g}).",
            "Lower the learning rate, to a tenth say, and look for empty or very odd examples.",
        )

    def _report_step(
        self, loss: float, learning_rate: float, grad_norm: float, extra: dict[str, Any]
    ) -> None:
        tokens = self.learner.tokens_seen
        values = (loss, learning_rate, grad_norm, tokens, self._clock.tokens_per_second(tokens))
        for name, value in zip(COLUMNS, values, strict=True):
            self.history[name].append(value)
        self.reporter.report(
            "step",
            step=self.step,
            epoch=self._epoch(self.step),
            **dict(zip(COLUMNS, values, strict=True)),
            eta_seconds=self._clock.eta_seconds(self.step, self.rhythm.total_steps),
            memory_bytes=self.learner.memory_bytes(),
            **extra,
        )

    def _epoch(self, step: int) -> float:
        return round(step / self.rhythm.steps_per_epoch, 4)

    def _check(self, step: int) -> bool:
        """Measures and reports the held-out rows and samples; True if no check was better. Step 0 is none's best.

        Raises EngineError (nan_loss): a loss that is none can be compared with no other.
        """
        begun = time.monotonic()
        found = self.learner.check()
        if found and not math.isfinite(found["eval_loss"]):
            raise self._no_number("held-out loss", step)
        if found:
            self.checks.append({"step": step, **found})
            self.reporter.report("evaluated", **self.checks[-1])
        if samples := self.learner.sample():
            self.reporter.report("sampled", step=step, samples=samples)
        self._clock.leave_out(time.monotonic() - begun)
        if not found or step == 0 or (self.best and found["eval_loss"] >= self.best["eval_loss"]):
            return False
        self.best = self.checks[-1]
        self.best_adapter = {
            name: tensor.detach().cpu().clone() for name, tensor in self.learner.adapter().items()
        }
        return True

    def _is_stuck(self) -> bool:
        """True, and said so, if the held-out loss has not fallen for as many checks as were allowed."""
        allowed = self.rhythm.early_stopping_checks
        if not allowed or not self.best or not self.rhythm.is_check(self.step):
            return False
        since = sum(check["step"] > self.best["step"] for check in self.checks)
        if since < allowed or self.step >= self.rhythm.total_steps:
            return False
        checks = "check" if since == 1 else f"{since} checks"
        self.reporter.report(
            "early_stopped",
            step=self.step,
            best_step=self.best["step"],
            message=f"The held-out loss has not fallen for {checks}, so training stopped at step {self.step}. "
            f"What it had learned by step {self.best['step']} is kept.",
        )
        return True

    # --- Checkpoints ---

    def _write_checkpoint(self, reason: str) -> None:
        if self.checkpoints_dir is None:
            return
        begun = time.monotonic()
        snapshot = self._snapshot()
        if not self.ranks.is_first:
            return
        written = write_checkpoint(self.checkpoints_dir, snapshot, self.learner.write_adapter)
        self._checkpoint_at = time.monotonic()
        self._clock.leave_out(self._checkpoint_at - begun)
        checked = self.checks[-1] if self.checks and self.checks[-1]["step"] == self.step else {}
        self.reporter.report(
            "checkpoint",
            step=self.step,
            path=str(written.path),
            size_bytes=written.size_bytes,
            eval_loss=checked.get("eval_loss"),
            is_best=self.best is not None and self.best["step"] == self.step,
            reason=reason,
        )

    def _snapshot(self) -> Snapshot:
        import torch

        tensors, numbers = self.learner.saved_parts()
        for index, randomness in enumerate(self.ranks.each(Randomness.now())):
            tensors |= part(f"random.{index}", randomness.tensors)
            numbers |= part(f"random.{index}", randomness.numbers)
        own = {
            "is_done": self.is_done,
            "checks": self.checks,
            "best": self.best,
            "seconds": self.seconds,
            "processes": self.ranks.count,
        }
        history = {name: torch.tensor(values, dtype=torch.float64) for name, values in self.history.items()}
        return Snapshot(
            step=self.step,
            adapter=self.learner.adapter(),
            tensors=tensors | part("history", history),
            numbers=numbers | part("watcher", own),
            best=self.best_adapter if self.best and self.best["step"] != self.step else None,
        )

    # --- The end ---

    @property
    def seconds(self) -> float:
        """Time spent on training, over all attempts, checks and checkpoints included."""
        return round(self._seconds_before + self._clock.spent(), 2)

    @property
    def best_step(self) -> int:
        """The step whose adapter is kept: the one with the lowest held-out loss, the last where none is measured."""
        return self.best["step"] if self.best else self.step

    def summary(self) -> dict[str, Any]:
        """What `finished` says, with every step and check as `history`; `train_loss` is that of the last epoch."""
        last = self.history["loss"][-self.rhythm.steps_per_epoch :]
        rows = zip(*self.history.values(), strict=True)
        steps = [
            {"step": step, "epoch": self._epoch(step), **dict(zip(COLUMNS, row, strict=True))}
            for step, row in enumerate(rows, start=1)
        ]
        return {
            "steps": self.step,
            "tokens": self.learner.tokens_seen,
            "seconds": self.seconds,
            "eval_loss_base": self.checks[0]["eval_loss"] if self.checks else None,
            "eval_loss": self.best["eval_loss"] if self.best else None,
            "best_step": self.best_step,
            "train_loss": sum(last) / len(last),
            "history": {"steps": steps, "evaluations": self.checks},
        }
