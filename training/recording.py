"""Writes what the engine says to the database in batches, each under the attempt's fencing token."""

import math
import time

from django.db import transaction
from django.utils.translation import gettext as _

from training import events, leases
from training.models import Attempt, JobEvent, Metric

STEP_FIELDS = ["epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second"]


def finite(value) -> float | None:
    """JSON has no NaN: what is not a finite number is kept as unknown."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


class Recorder:
    """Collects events and flushes them together: one transaction, one announcement, for all since the last."""

    def __init__(self, attempt: Attempt):
        self.attempt = attempt
        self.waiting: list[dict] = []
        self.flushed_at = time.monotonic()

    def add(self, event: dict) -> None:
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
        with transaction.atomic():
            leases.hold(self.attempt, **self.job_changes(batch, steps, checks))
            self.write_metrics(steps, checks)
            self.write_events(batch)
            self.announce(steps, checks, batch)
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
        if 0 in checks:
            changes["eval_loss_base"] = finite(checks[0].get("eval_loss"))
        return changes

    def write_metrics(self, steps: dict, checks: dict) -> None:
        job_id, token = self.attempt.job_id, self.attempt.token
        self.upsert(
            [
                Metric(
                    job_id=job_id, token=token, step=step, **{f: finite(event.get(f)) for f in STEP_FIELDS}
                )
                for step, event in steps.items()
            ],
            STEP_FIELDS,
        )
        self.upsert(
            [
                Metric(job_id=job_id, token=token, step=step, eval_loss=finite(event.get("eval_loss")))
                for step, event in checks.items()
            ],
            ["eval_loss"],
        )

    def upsert(self, rows: list[Metric], fields: list[str]) -> None:
        if rows:
            Metric.objects.bulk_create(
                rows, update_conflicts=True, unique_fields=["job", "step"], update_fields=["token", *fields]
            )

    def write_events(self, batch: list[dict]) -> None:
        said = []
        for event in batch:
            if event["event"] == "started":
                said.append(
                    JobEvent(
                        job_id=self.attempt.job_id,
                        kind="training.started",
                        message=_("Learning from %(rows)s examples in %(steps)s steps.")
                        % {"rows": event["train_rows"], "steps": event["total_steps"]},
                        data=event,
                    )
                )
            elif event["event"] == "log":
                said.append(
                    JobEvent(job_id=self.attempt.job_id, kind="training.log", message=event["message"])
                )
        JobEvent.objects.bulk_create(said)

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
        if checks or any(event["event"] == "started" for event in batch):
            events.job_changed(job)
