"""A worker's hold on a job: one attempt, a lease kept fresh by heartbeats, a fencing token in every write.

A second delivery finds the job claimed and stops. A worker that comes back from the dead finds its token stale,
so nothing that it writes takes effect (Kleppmann, "How to do distributed locking", 2016).
"""

import logging
import threading
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.notices import notify
from apex.common.states import move
from training import events
from training.models import MOVES, Attempt, JobEvent, Status, TrainingJob

logger = logging.getLogger(__name__)

OUTCOMES = {
    Status.SUCCEEDED: gettext_lazy("%(name)s has finished. Ask it something."),
    Status.FAILED: gettext_lazy("%(name)s could not be trained: %(message)s"),
    Status.CRASHED: gettext_lazy("%(name)s was interrupted. You can try again."),
}


class LeaseLost(Exception):
    """The job was cancelled, taken over or closed: stop quietly and write nothing more."""


def lease_end():
    return timezone.now() + timedelta(seconds=settings.TRAINING_LEASE_SECONDS)


def claim(job_id: str, worker: str) -> Attempt | None:
    """Takes a queued job. None if it is gone, or somebody else has it, or it has ended."""
    with transaction.atomic():
        job = TrainingJob.objects.filter(pk=job_id, status=Status.QUEUED).first()
        if job is None:
            return None
        now = timezone.now()
        if not move(
            job, Status.RUNNING, moves=MOVES, where={"fence": job.fence}, fence=job.fence + 1, started_at=now
        ):
            return None
        attempt = Attempt.objects.create(
            job=job, token=job.fence, worker=worker, heartbeat_at=now, lease_until=lease_end()
        )
        JobEvent.objects.create(
            job=job, kind="job.started", message=_("A worker has it."), data={"worker": worker}
        )
        events.job_changed(job)
    return attempt


def hold(attempt: Attempt, **changes) -> None:
    """Writes `changes` to the job if the attempt still holds it; raises `LeaseLost` otherwise.

    Call it first in the transaction of every other write: it locks the job's row until that commits.
    """
    changes = changes or {"fence": attempt.token}
    held = TrainingJob.objects.filter(pk=attempt.job_id, fence=attempt.token, status=Status.RUNNING).update(
        **changes
    )
    if not held:
        raise LeaseLost(f"attempt {attempt.token} no longer holds job {attempt.job_id}")
    for field, value in changes.items():
        setattr(attempt.job, field, value)


def beat(attempt: Attempt) -> None:
    """Keeps the lease; raises `LeaseLost` if it is gone."""
    with transaction.atomic():
        hold(attempt)
        Attempt.objects.filter(pk=attempt.pk).update(heartbeat_at=timezone.now(), lease_until=lease_end())


@contextmanager
def beating(attempt: Attempt):
    """Keeps the lease from a thread for as long as the block lasts, whatever long work is done in it."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(settings.TRAINING_HEARTBEAT_SECONDS):
            try:
                beat(attempt)
            except LeaseLost:
                break  # the next write finds out too, and stops the work
            except (OperationalError, InterfaceError) as problem:
                logger.warning("job %s: no heartbeat, will try again: %s", attempt.job_id, problem)
        connection.close()

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def release(attempt: Attempt, outcome: str) -> None:
    """Notes how the attempt ended, once."""
    Attempt.objects.filter(pk=attempt.pk, ended_at__isnull=True).update(
        ended_at=timezone.now(), outcome=outcome
    )


def finish(attempt: Attempt, status: str, *, message: str, **changes) -> None:
    """Ends the job and the attempt together; raises `LeaseLost` if the job is no longer this attempt's.

    `message` says what happened, on the page and in the history; `changes` are further fields of the job.
    Never overwrites *cancelled*: that status has no moves. The caller may wrap it in a larger transaction.
    """
    job = attempt.job
    with transaction.atomic():
        won = move(
            job,
            status,
            moves=MOVES,
            where={"fence": attempt.token},
            ended_at=timezone.now(),
            eta_seconds=None,
            message=message,
            **changes,
        )
        if not won:
            raise LeaseLost(f"attempt {attempt.token} no longer holds job {attempt.job_id}")
        release(attempt, status)
        JobEvent.objects.create(job=job, kind=f"job.{status}", message=message)
        notify(
            owner=job.owner,
            text=OUTCOMES[status] % {"name": job.name, "message": message},
            url=f"/training/{job.pk}/",
        )
        events.job_changed(job)
