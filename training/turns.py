"""The queue as people read it: what runs where, what waits, why, and for about how long."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apex.templatetags.words import about, gigabytes
from training import waiting
from training.models import HELD, Node, Status, TrainingJob
from training.ordering import Reason

SHOWN = 200


@dataclass(frozen=True)
class Turn:
    """A waiting job with its reason; `starts_in` seconds, None where nobody can tell."""

    job: TrainingJob
    place: int  # among all that wait, from 1
    kind: str
    words: str
    starts_in: float | None


@dataclass
class Board:
    """What one person may see: their own jobs, and of everybody else's how many; `everyone` for superusers."""

    running: list[TrainingJob] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    paused: list[TrainingJob] = field(default_factory=list)
    others_running: int = 0
    others_waiting: int = 0
    nodes: list[Node] = field(default_factory=list)
    is_everyone: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.running or self.turns or self.paused)


def board(user) -> Board:
    """The queue as it is now. Superusers see everybody's jobs, and the machines."""
    reasons = waiting.why()
    everyone = TrainingJob.objects.select_related("owner", "base_model", "dataset_version__dataset")
    mine = everyone if user.is_superuser else everyone.for_user(user)
    at_work = mine.filter(status__in=HELD).order_by("started_at")
    found = Board(
        running=list(at_work[:SHOWN]),
        turns=turns_of(mine, reasons),
        paused=list(mine.filter(status=Status.PAUSED)[:SHOWN]),
        is_everyone=user.is_superuser,
    )
    if user.is_superuser:
        found.nodes = list(
            Node.objects.order_by("-is_online", "name").prefetch_related("devices__holder__job__owner")
        )
    else:
        found.others_running = TrainingJob.objects.held().count() - at_work.count()
        found.others_waiting = len(reasons) - mine.waiting().count()
    return found


def turns_of(jobs, reasons: dict[Any, Reason]) -> list[Turn]:
    """The waiting ones among `jobs`, in the order of their turns."""
    own = {job.pk: job for job in jobs.waiting()}
    names = {pk: job.name for pk, job in own.items()}
    places = {pk: place for place, pk in enumerate(reasons, start=1)}
    return [
        Turn(own[pk], places[pk], reason.kind, words_of(own[pk], reason, names), reason.starts_in)
        for pk, reason in reasons.items()
        if pk in own
    ][:SHOWN]


def turn_of(job: TrainingJob) -> Turn | None:
    """Why this job waits, in words for its owner; None if it does not."""
    found = turns_of(TrainingJob.objects.filter(owner=job.owner_id), waiting.why())
    return next((turn for turn in found if turn.job.pk == job.pk), None)


def words_of(job: TrainingJob, reason: Reason, names: dict[Any, str]) -> str:
    """One or two sentences. `names`: of the jobs that the reader may know by name."""
    said = WORDS[reason.kind](job, reason, names)
    if reason.kind in ("behind", "busy") and reason.starts_in is not None:
        return f"{said} {_('It begins in %(time)s.') % {'time': about(reason.starts_in)}}"
    return said


def say_behind(job: TrainingJob, reason: Reason, names: dict[Any, str]) -> str:
    count = len(reason.before)
    said = ngettext("%(count)s training is before it", "%(count)s trainings are before it", count) % {
        "count": count
    }
    own = sum(pk in names for pk in reason.before)
    if own == count:
        return _("%(said)s; its turn comes after %(name)s.") % {"said": said, "name": names[reason.after]}
    if own:
        return _("%(said)s, %(own)s of them yours.") % {"said": said, "own": own}
    return f"{said}."


def say_too_many(job: TrainingJob, reason: Reason, names: dict[Any, str]) -> str:
    return _(
        "It asks for %(count)s devices of one machine; no machine has so many: the largest has %(most)s."
    ) % {
        "count": job.device_count,
        "most": reason.most,
    }


def say_too_large(job: TrainingJob, reason: Reason, names: dict[Any, str]) -> str:
    return _("It asks for %(wanted)s of memory; no device has so much: the largest has %(most)s.") % {
        "wanted": gigabytes(job.memory_bytes),
        "most": gigabytes(reason.most),
    }


WORDS = {
    "soon": lambda job, reason, names: _("A worker takes it in a moment."),
    "busy": lambda job, reason, names: _("It is next; every device that suits it is busy."),
    "behind": say_behind,
    "no_worker": lambda job, reason, names: _(
        "No machine that could run it is online. It begins by itself once a worker is started there."
    ),
    "disabled": lambda job, reason, names: _(
        "The devices that could run it take no trainings at present; an administrator can let them."
    ),
    "no_such_device": lambda job, reason, names: (
        _("It is to run on %(queue)s only, and no machine has announced that.") % {"queue": job.wanted_queue}
    ),
    "too_many": say_too_many,
    "too_large": say_too_large,
}
