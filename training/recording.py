"""Writes what the engine says to the database in batches, each under the attempt's fencing token."""

import math
import time

from django.db import transaction
from django.utils.translation import gettext as _

from training import events, leases
from training.metrics.packing import gather
from training.metrics.store import MetricWriter
from training.models import Attempt, JobEvent, Sample

MEASURED = (
    "step",
    "evaluated",
)  # events whose numbers are kept, with the moment (`time`, seconds since 1970)

PAGE_CHANGES = {"started", "sampled", "batch_halved", "early_stopped"}


def finite(value) -> float | None:
    """JSON has no NaN: what is not a finite number is kept as unknown."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


class Recorder:
    """Collects events and flushes them together: one transaction, one announcement, for all since the last."""

    def __init__(self, attempt: Attempt):
        self.attempt = attempt
        self.metrics = MetricWriter(attempt.job_id)
        self.waiting: list[dict] = []
        self.flushed_at = time.monotonic()

    def add(self, event: dict) -> None:
        if event["event"] in MEASURED:
            event["time"] = time.time()
        self.waiting.append(event)

    def is_due(self, seconds: float) -> bool:
        return time.monotonic() - self.flushed_at >= seconds

    def flush(self) -> None:
        """Writes all that waits; what could not be written stays waiting. Raises `LeaseLost`."""
        self.flushed_at = time.monotonic()
        if not self.waiting:
            return
        batch = list(self.waiting)
        steps = {event["step"]: event for event in batch if event["event"] == "step"}
        checks = {event["step"]: event for event in batch if event["event"] == "evaluated"}
        try:
            with transaction.atomic():
                leases.hold(self.attempt, **self.job_changes(batch, steps, checks))
                self.metrics.write(gather(event for event in batch if event["event"] in MEASURED))
                self.write_samples(batch)
                self.write_attempt(batch, steps)
                self.write_events(batch)
                self.announce(steps, checks, batch)
        except Exception:
            self.metrics.forget()  # what was written is gone again
            raise
        del self.waiting[: len(batch)]

    def job_changes(self, batch: list[dict], steps: dict, checks: dict) -> dict:
        changes: dict = {}
        for event in batch:
            if event["event"] == "started":
                changes["total_steps"] = event["total_steps"]
                changes["facts"] = {**self.attempt.job.facts, "started": event}
        if steps:
            last = steps[max(steps)]
            changes |= {
                "step": last["step"],
                "tokens": last.get("tokens") or 0,
                "tokens_per_second": finite(last.get("tokens_per_second")),
                "eta_seconds": finite(last.get("eta_seconds")),
                "train_loss": finite(last.get("loss")),
            }
        if checks:
            changes["eval_loss"] = finite(checks[max(checks)].get("eval_loss"))
            changes |= self.best_so_far(checks)
        if 0 in checks:
            changes["eval_loss_base"] = finite(checks[0].get("eval_loss"))
        return changes

    def best_so_far(self, checks: dict) -> dict:
        """The step with the lowest held-out loss, if it is one of these; step 0 is the base model."""
        best = self.attempt.job.best_eval_loss
        changes = {}
        for step, event in sorted(checks.items()):
            loss = finite(event.get("eval_loss"))
            if step > 0 and loss is not None and (best is None or loss < best):
                best = loss
                changes = {"best_step": step, "best_eval_loss": loss}
        return changes

    def write_samples(self, batch: list[dict]) -> None:
        rows = {
            (event["step"], position): Sample(
                job_id=self.attempt.job_id,
                step=event["step"],
                position=position,
                question=said["question"],
                answer=said["answer"],
                expected=said.get("expected") or "",
            )
            for event in batch
            if event["event"] == "sampled"
            for position, said in enumerate(event["samples"])
        }
        if rows:
            Sample.objects.bulk_create(
                rows.values(),
                update_conflicts=True,
                unique_fields=["job", "step", "position"],
                update_fields=["question", "answer", "expected"],
            )

    def write_attempt(self, batch: list[dict], steps: dict) -> None:
        """From where this attempt went on, and how far it came."""
        changes = {}
        if started := [event for event in batch if event["event"] == "started"]:
            changes["resumed_step"] = started[-1].get("resumed_step") or 0
        if steps:
            changes["last_step"] = max(steps)
        if changes:
            Attempt.objects.filter(pk=self.attempt.pk).update(**changes)

    def write_events(self, batch: list[dict]) -> None:
        said = [line for event in batch if (line := self.line_of(event))]
        JobEvent.objects.bulk_create(
            JobEvent(job_id=self.attempt.job_id, kind=kind, message=message, data=data)
            for kind, message, data in said
        )

    def line_of(self, event: dict) -> tuple[str, str, dict] | None:
        """Kind, words and data of the line that an event of the engine leaves in the history, if it leaves one."""
        match event["event"]:
            case "started":
                words = {"rows": event["train_rows"], "steps": event["total_steps"]}
                if step := event.get("resumed_step"):
                    message = _("Going on from step %(step)s of %(steps)s.") % {**words, "step": step}
                else:
                    message = _("Learning from %(rows)s examples in %(steps)s steps.") % words
                return "training.started", message, event
            case "log":
                return "training.log", event["message"], {}
            case "batch_halved" | "early_stopped" as kind:
                return f"training.{kind}", event.get("message") or kind, event
        return None

    def announce(self, steps: dict, checks: dict, batch: list[dict]) -> None:
        job = self.attempt.job
        points = [
            [
                step,
                finite(steps[step].get("loss")) if step in steps else None,
                finite(checks[step].get("eval_loss")) if step in checks else None,
            ]
            for step in sorted({*steps, *checks})
        ]
        if points:
            events.points_recorded(job, points)
        if checks or any(event["event"] in PAGE_CHANGES for event in batch):
            events.job_changed(job)
