"""Several trainings beside each other: their curves on one chart, and a table of what differs."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training import selectors
from training.engine.config import describe
from training.metrics import store
from training.metrics.packing import ordered
from training.models import TrainingJob

AXES = {
    "step": gettext_lazy("step"),
    "tokens": gettext_lazy("tokens"),
    "time": gettext_lazy("time at work"),
}
MOST_POINTS = 240_000  # of all lines together, as columns of one answer


def compared_jobs(user, ids: list) -> list[TrainingJob] | None:
    """The user's jobs of these ids, in this order, each once; None if one of them is not there or not theirs."""
    ids = list(dict.fromkeys(ids))
    found = {
        job.pk: job for job in selectors.jobs_for_list(user).filter(pk__in=ids).prefetch_related("attempts")
    }
    return [found[pk] for pk in ids] if len(found) == len(ids) else None


# --- Table ---------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of the table: what it is, and each job's value as a program and as a person reads it."""

    field: str
    label: str
    values: list[Any]
    shown: list[str]
    names: list[str]  # of the jobs
    term: str = ""  # the field's word beside the plain label
    best: int | None = None  # place of the lowest loss

    @property
    def cells(self) -> list[tuple[str, str]]:
        return list(zip(self.names, self.shown, strict=True))

    @property
    def is_same(self) -> bool:
        return all(value == self.values[0] for value in self.values)


def table(jobs: list[TrainingJob]) -> list[Row]:
    """Results, then where each comes from, then every setting that any of them has."""
    rows = [
        row("status", _("Status"), jobs, lambda job: job.status, lambda job: job.get_status_display()),
        loss_row("eval_loss", _("Held-out loss at its end"), jobs),
        loss_row("best_eval_loss", _("Lowest held-out loss"), jobs),
        row("eval_loss_base", _("Held-out loss before"), jobs, lambda job: job.eval_loss_base),
        row("train_loss", _("Loss on practice"), jobs, lambda job: job.train_loss),
        row("step", _("Steps"), jobs, lambda job: job.step),
        row("tokens", _("Tokens"), jobs, lambda job: job.tokens),
        row("seconds", _("Time at work"), jobs, seconds_at_work, lambda job: as_clock(seconds_at_work(job))),
        row("attempts", _("Attempts"), jobs, lambda job: len(job.attempts.all())),
        row(
            "dataset_version",
            _("Examples (dataset version)"),
            jobs,
            lambda job: str(job.dataset_version_id),
            lambda job: f"{job.dataset_version.dataset.name}, {job.dataset_version.number}",
        ),
        row(
            "base_model",
            _("Starting point (base model)"),
            jobs,
            lambda job: f"{job.base_model.name}@{job.base_model.revision}",
            lambda job: job.base_model.display_name,
        ),
        row("method", _("Method"), jobs, lambda job: job.method, lambda job: job.get_method_display()),
        row("hardware", _("Hardware"), jobs, hardware),
    ]
    settings = dict.fromkeys(name for job in jobs for name in job.config)
    words = {entry["name"]: entry["label"] for entry in describe()}
    return rows + [
        row(f"config.{name}", words.get(name, name), jobs, lambda job, n=name: job.config.get(n), term=name)
        for name in settings
    ]


def row(field: str, label: str, jobs, value, shown=None, term: str = "") -> Row:
    values = [value(job) for job in jobs]
    words = [shown(job) if shown else as_words(value(job)) for job in jobs]
    return Row(field, label, values, words, [job.name for job in jobs], term if term != label else "")


def loss_row(field: str, label: str, jobs) -> Row:
    found = row(field, label, jobs, lambda job: getattr(job, field))
    known = [value for value in found.values if value is not None]
    if len(known) > 1 and not found.is_same:
        found.best = found.values.index(min(known))
    return found


def as_words(value) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def as_clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def hardware(job: TrainingJob) -> str | None:
    """Of its newest attempt that says it."""
    for attempt in job.attempts.all():
        if attempt.hardware:
            return (
                f"{attempt.device_count} × {attempt.hardware}"
                if attempt.device_count > 1
                else attempt.hardware
            )
    return job.facts.get("started", {}).get("device")


def seconds_at_work(job: TrainingJob) -> float | None:
    """Of all attempts together, without the waiting between them."""
    now = timezone.now()
    spans = [((a.ended_at or now) - a.started_at).total_seconds() for a in job.attempts.all()]
    return sum(spans) if spans else None


# --- Chart ---------------------------------------------------------------------------------------------------


def names_of_all(jobs: list[TrainingJob]) -> list[str]:
    """Series that the chart can show: what any of the jobs measures, the losses first."""
    known = store.names_at_the_start(jobs) | {"loss"}
    return [name for name in ordered(known) if name not in ("eval_loss", "time", "tokens", "epoch")]


def lines(jobs: list[TrainingJob], series: str, by: str, columns: int) -> dict:
    """`{"series", "by", "is_plain", "lines": [{"job", "name", "series", "place", "is_main", "x", "y"}]}`.

    The loss comes with the held-out loss as the line that counts (`is_main`); `is_plain`: all lines are alike.
    """
    wanted = ["loss", "eval_loss"] if series == "loss" else [series]
    columns = max(1, min(columns, MOST_POINTS // (2 * len(jobs))))
    found = []
    for place, job in enumerate(jobs):
        drawn = store.read_curves(job, [*wanted, *({by} - {"step"})], columns)["series"]
        for name in wanted:
            if name not in drawn:
                continue
            steps, values = drawn[name]
            x = along(job, by, drawn.get(by), steps)
            if x is not None:
                found.append(
                    {
                        "job": str(job.pk),
                        "name": job.name,
                        "series": name,
                        "place": place,
                        "is_main": name == "eval_loss",
                        "x": x.tolist(),
                        "y": values.tolist(),
                    }
                )
    return {
        "series": series,
        "by": by,
        "is_plain": not any(line["is_main"] for line in found),
        "lines": found,
    }


def along(job: TrainingJob, by: str, axis: tuple | None, steps: np.ndarray) -> np.ndarray | None:
    """Where these steps lie on the axis: their numbers, tokens so far, or seconds at work. None if nobody knows."""
    if by == "step":
        return steps
    if axis is None:
        return None
    known_steps, known = axis
    if by == "tokens":
        known_steps, known = np.append(0, known_steps), np.append(0.0, known)
        return np.interp(steps, known_steps, known)
    moments = np.interp(steps, known_steps, known)
    begun = np.array([attempt.started_at.timestamp() for attempt in job.attempts.all()])
    if not len(begun):
        return moments - moments[0]
    ended = np.array([a.ended_at.timestamp() if a.ended_at else np.inf for a in job.attempts.all()])
    return np.clip(moments[:, None] - begun, 0, ended - begun).sum(axis=1)
