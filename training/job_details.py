"""Page-shaped reads of what is recorded of one job: checkpoints, the answers that it wrote, its attempts."""

from dataclasses import dataclass, field

from django.utils.translation import gettext_lazy as _

from training.models import Adapter, Attempt, Checkpoint, JobEvent, Sample, TrainingJob

CHECKS_SHOWN = 12
ATTEMPTS_SHOWN = 50
EVENTS_SHOWN = 200


@dataclass
class Stop:
    """A step of a job from which something can be tried: its checkpoint, what was kept of it, or both."""

    step: int
    checkpoint: Checkpoint | None = None
    kept: Adapter | None = None

    @property
    def eval_loss(self) -> float | None:
        return (self.kept or self.checkpoint).eval_loss

    @property
    def size_bytes(self) -> int:
        return (self.kept or self.checkpoint).size_bytes

    @property
    def created_at(self):
        return (self.kept or self.checkpoint).created_at


def stops(job: TrainingJob) -> list[Stop]:
    """Checkpoints that are there, and those that were kept before they were pruned; latest step first."""
    found = {row.step: Stop(row.step, checkpoint=row) for row in job.checkpoints.all()}
    for adapter in job.adapters.all():
        if adapter.step is not None:
            found.setdefault(adapter.step, Stop(adapter.step)).kept = adapter
    return [found[step] for step in sorted(found, reverse=True)]


@dataclass
class Question:
    """One held-out question with what the model answered to it, latest first."""

    question: str
    expected: str
    answers: list[Sample] = field(default_factory=list)


def questions(job: TrainingJob) -> list[Question]:
    """What it wrote at its latest checks, by question; the API has all checks."""
    rows = Sample.objects.filter(job=job)
    steps = rows.order_by("-step").values_list("step", flat=True).distinct()[:CHECKS_SHOWN]
    found: dict[int, Question] = {}
    for row in rows.filter(step__in=list(steps)).order_by("position", "-step"):
        asked = found.setdefault(row.position, Question(row.question, row.expected))
        asked.answers.append(row)
    return list(found.values())


def history(job: TrainingJob) -> list[JobEvent]:
    """What happened last, in order; the API has all."""
    return list(job.events.order_by("-id")[:EVENTS_SHOWN])[::-1]


ENDINGS = {
    "": _("at work"),
    "succeeded": _("finished"),
    "failed": _("the training said no"),
    "crashed": _("broke off"),
    "cancelled": _("stopped by its owner"),
    "paused": _("paused; what it had was saved"),
    "requeued": _("lost; another one went on"),
    "lost": _("never came back after its training was stopped"),
}


@dataclass(frozen=True)
class AttemptShown:
    row: Attempt
    ending: str
    seconds: float | None  # None while it goes on


def attempts(job: TrainingJob) -> list[AttemptShown]:
    """Latest first."""
    rows = sorted(job.attempts.all(), key=lambda row: row.token, reverse=True)[:ATTEMPTS_SHOWN]
    return [
        AttemptShown(
            row,
            str(ENDINGS.get(row.outcome, row.outcome)),
            (row.ended_at - row.started_at).total_seconds() if row.ended_at else None,
        )
        for row in rows
    ]
