"""What happened to a fine-tuning job, newest first: its history and its numbers as one list, read page by page.

A long training has a million steps, so no page reads more of them than it shows.
"""

from __future__ import annotations

import bisect
import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from gateway.models import FineTune, TuneStatus
from training.metrics.store import StoredSteps
from training.models import JobEvent, Status, TrainingJob

STEPS_READ = 64
WARNINGS = {"job.requeued", "training.checkpoint_damaged", "training.batch_halved"}
ERRORS = {"job.failed", "job.crashed"}
ID = re.compile(r"ftevent-(?P<job>[0-9a-f]{32})-(?P<kind>[a-z])(?P<number>[0-9]{1,15})")
MADE, HISTORY, STEP = 0, 1, 2  # kinds, in the order in which what happens at once is told
LETTERS = "ahs"


class Moment(NamedTuple):
    """One event and its place among all: by time (seconds since 1970), kind and number."""

    at: float
    kind: int
    number: int
    told: dict[str, Any]

    @property
    def place(self) -> tuple[float, int, int]:
        return self.at, self.kind, self.number


def page(tune: FineTune, after: str | None, limit: int) -> tuple[list[dict[str, Any]], bool] | None:
    """`(events, has_more)` behind the event `after`; None if that is no event of this job."""
    place = None
    if after:
        place = place_of(tune, after)
        if place is None:
            return None
    streams = [made(tune), history(tune, place), steps(tune, place)]
    newest_first = heapq.merge(*streams, key=lambda moment: moment.place, reverse=True)
    behind = (moment for moment in newest_first if place is None or moment.place < place)
    found = [moment.told for moment in islice(behind, limit + 1)]
    return found[:limit], len(found) > limit


def place_of(tune: FineTune, event_id: str) -> tuple[float, int, int] | None:
    named = ID.fullmatch(event_id)
    if named is None or named["job"] != tune.pk.hex or named["kind"] not in LETTERS:
        return None
    kind, number = LETTERS.index(named["kind"]), int(named["number"])
    if kind == MADE:
        return next((moment.place for moment in made(tune) if moment.number == number), None)
    if tune.job is None:
        return None
    if kind == HISTORY:
        event = JobEvent.objects.filter(job=tune.job, pk=number).first()
        return (event.created_at.timestamp(), HISTORY, number) if event else None
    stored = StoredSteps(tune.job)
    index = bisect.bisect_left(stored, number, key=lambda row: row["step"])
    if index >= len(stored) or stored[index]["step"] != number:
        return None
    return time_of(stored[index], tune.job), STEP, number


def made(tune: FineTune) -> list[Moment]:
    """What is known without a training, newest first."""
    began = [moment for moment in (tune.created_at, tune.job and tune.job.created_at) if moment]
    at = min(began).timestamp()
    words = [f"Created fine-tuning job: {tune.public_id}", f"Validating training file: {tune.training_file}"]
    found = [told(tune, at, MADE, number, text) for number, text in enumerate(words)]
    if tune.ended_at and tune.job is None:
        level, text = (
            ("error", tune.error.get("message", ""))
            if tune.status == TuneStatus.FAILED
            else ("info", "Cancelled.")
        )
        found.append(told(tune, tune.ended_at.timestamp(), MADE, len(words), text, level))
    if tune.job and tune.job.status == Status.SUCCEEDED and tune.job.adapter:
        text = f"New fine-tuned model created: {tune.job.adapter.model_id}"
        found.append(told(tune, tune.job.ended_at.timestamp(), MADE, len(words), text))
    return sorted(found, key=lambda moment: moment.place, reverse=True)


def history(tune: FineTune, before: tuple[float, int, int] | None) -> Iterator[Moment]:
    if tune.job is None:
        return
    rows = JobEvent.objects.filter(job=tune.job).order_by("-created_at", "-pk")
    if before is not None:
        rows = rows.filter(created_at__lte=datetime.fromtimestamp(before[0] + 0.001, UTC))
    for event in rows.iterator(chunk_size=200):
        level = "error" if event.kind in ERRORS else "warn" if event.kind in WARNINGS else "info"
        yield told(tune, event.created_at.timestamp(), HISTORY, event.pk, event.message, level)


def steps(tune: FineTune, before: tuple[float, int, int] | None) -> Iterator[Moment]:
    """The steps with their numbers, newest first; step 0 is the check before the first."""
    if tune.job is None:
        return
    stored = StoredSteps(tune.job)
    end = len(stored)
    if before is not None:
        end = bisect.bisect_right(stored, before[0], key=lambda row: time_of(row, tune.job))
    while end > 0:
        begin = max(0, end - STEPS_READ)
        for row in reversed(stored[begin:end]):
            yield step_told(tune, row)
        end = begin


def time_of(row: dict, job: TrainingJob) -> float:
    if row.get("time") is not None:
        return row["time"]
    return (job.started_at or job.created_at).timestamp()


def step_told(tune: FineTune, row: dict) -> Moment:
    numbers = {
        "train_loss": row.get("loss"), "valid_loss": row.get("eval_loss"), "learning_rate": row.get("learning_rate"),
    }  # fmt: skip
    known = {name: value for name, value in numbers.items() if value is not None}
    words = [
        f"{label}={known[name]:.4f}"
        for name, label in (("train_loss", "training loss"), ("valid_loss", "validation loss"))
        if name in known
    ]
    text = f"Step {row['step']}/{tune.job.total_steps}: {', '.join(words) or 'no numbers'}"
    moment = told(tune, time_of(row, tune.job), STEP, row["step"], text)
    moment.told.update(
        type="metrics", data={"step": row["step"], "total_steps": tune.job.total_steps, **known}
    )
    return moment


def told(tune: FineTune, at: float, kind: int, number: int, message: str, level: str = "info") -> Moment:
    body = {
        "id": f"ftevent-{tune.pk.hex}-{LETTERS[kind]}{number}",
        "object": "fine_tuning.job.event",
        "created_at": int(at),
        "level": level,
        "message": message,
        "type": "message",
        "data": {},
    }
    return Moment(at, kind, number, body)
