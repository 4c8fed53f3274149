"""A worker's hold on a job: one attempt, its devices, heartbeats that are counted, a fencing token in every write.

A second delivery finds the job claimed and stops. A worker that comes back from the dead finds its token stale,
so nothing that it writes takes effect (Kleppmann, "How to do distributed locking", 2016).
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from decimal import Decimal

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.notices import notify
from apex.common.states import move
from training import chain_nudges, checkpoints, events, paying
from training.models import HELD, MOVES, Attempt, Checkpoint, Device, JobEvent, Status, TrainingJob

logger = logging.getLogger(__name__)
DATABASE_AWAY = (OperationalError, InterfaceError)

OUTCOMES = {
    Status.SUCCEEDED: gettext_lazy("%(name)s has finished. Ask it something."),
    Status.FAILED: gettext_lazy("%(name)s could not be trained: %(message)s"),
    Status.CRASHED: gettext_lazy("%(name)s was interrupted. You can try again."),
}


class LeaseLost(Exception):
    """The job was cancelled, taken over or closed: stop quietly and write nothing more."""


class DevicesTaken(Exception):
    """Somebody else was faster with one of the devices."""


def claim(job_id: str, worker: str, queues: Sequence[str] = ()) -> Attempt | None:
    """Takes a queued job and the devices of `queues`, both or neither.

    None if the job is gone, or somebody else has it or one of the devices, or it has ended. Without `queues` no device
    is taken: for a job that is run by hand.
    """
    try:
        with transaction.atomic():
            job = TrainingJob.objects.filter(pk=job_id, status=Status.QUEUED).first()
            if job is None:
                return None
            now = timezone.now()
            changes = {"fence": job.fence + 1, "started_at": job.started_at or now, "message": ""}
            if queues:
                changes["queue"] = queues[0]
            if not move(job, Status.RUNNING, moves=MOVES, where={"fence": job.fence}, **changes):
                return None
            attempt = Attempt.objects.create(
                job=job, token=job.fence, worker=worker, heartbeat_at=now, device_count=job.device_count
            )
            if queues:
                take_devices(attempt, queues)
            JobEvent.objects.create(
                job=job,
                kind="job.started",
                message=_("A worker has it."),
                data={"worker": worker, "devices": list(queues), "token": attempt.token},
            )
            events.job_changed(job)
    except DevicesTaken as taken:
        logger.info("job %s was not begun: %s", job_id, taken)
        return None
    return attempt


def take_devices(attempt: Attempt, queues: Sequence[str]) -> None:
    """Makes the attempt the one holder of these devices, in one conditional UPDATE. Raises DevicesTaken."""
    free = Device.objects.filter(queue__in=queues, holder=None, is_enabled=True)
    if free.update(holder=attempt) != len(queues):
        raise DevicesTaken(f"{', '.join(queues)} are not all free")
    devices = list(Device.objects.filter(queue__in=queues).select_related("node"))
    attempt.hardware = ", ".join(sorted({device.name or device.kind for device in devices}))[:200]
    attempt.price_per_hour = sum((device.price_per_hour for device in devices), Decimal(0))
    attempt.save(update_fields=["hardware", "price_per_hour"])


def hold(attempt: Attempt, **changes) -> None:
    """Writes `changes` to the job if the attempt still holds it; raises `LeaseLost` otherwise.

    Call it first in the transaction of every other write: it locks the job's row until that commits.
    """
    changes = changes or {"fence": attempt.token}
    held = TrainingJob.objects.filter(pk=attempt.job_id, fence=attempt.token, status__in=HELD).update(
        **changes
    )
    if not held:
        raise LeaseLost(f"attempt {attempt.token} no longer holds job {attempt.job_id}")
    for field, value in changes.items():
        setattr(attempt.job, field, value)


def look(attempt: Attempt) -> str:
    """The status of the job, `running` or `pausing`; raises `LeaseLost` if the attempt no longer holds it."""
    found = TrainingJob.objects.filter(pk=attempt.job_id, fence=attempt.token, status__in=HELD)
    status = found.values_list("status", flat=True).first()
    if status is None:
        raise LeaseLost(f"attempt {attempt.token} no longer holds job {attempt.job_id}")
    return status


def beat(attempt: Attempt) -> None:
    """Keeps the lease; raises `LeaseLost` if it is gone."""
    with transaction.atomic():
        hold(attempt)
        Attempt.objects.filter(pk=attempt.pk).update(beats=F("beats") + 1, heartbeat_at=timezone.now())


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
            except DATABASE_AWAY as problem:
                logger.warning("job %s: no heartbeat, will try again: %s", attempt.job_id, problem)
                close_old_connections()
        connection.close()

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def release(attempt: Attempt, outcome: str) -> None:
    """Notes how the attempt ended, once, and frees its devices; what it was storing goes, unless that has a row."""
    with transaction.atomic():
        closed = Attempt.objects.filter(pk=attempt.pk, ended_at__isnull=True).update(
            ended_at=timezone.now(), outcome=outcome
        )
        Device.objects.filter(holder=attempt).update(holder=None)
        if closed:
            paying.write_down(attempt, outcome)
            stored = Attempt.objects.filter(pk=attempt.pk).values_list("storing_sha256", flat=True)
            checkpoints.discard(stored)


def finish(attempt: Attempt, status: str, *, message: str, **changes) -> None:
    """Ends the job and the attempt together; raises `LeaseLost` if the job is no longer this attempt's.

    `message` says what happened, on the page and in the history; `changes` are further fields of the job.
    Never overwrites *cancelled*: that status has no moves. The caller may wrap it in a larger transaction.
    """
    job = attempt.job
    with transaction.atomic():
        hold(attempt)  # a job that waits again has the same fence until it is claimed
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
        paying.release_for(job)
        chain_nudges.job_ended(job)
        JobEvent.objects.create(job=job, kind=f"job.{status}", message=message)
        notify(
            owner=job.owner,
            text=OUTCOMES[status] % {"name": job.name, "message": message},
            url=f"/training/{job.pk}/",
        )
        events.job_changed(job)


def give_back(
    attempt: Attempt, *, why: str, reason: str, is_counted: bool = True, advice: str = "", log_tail: str = ""
) -> str:
    """Lets another attempt go on from the last checkpoint: the job waits again, or rests if it was to be paused.

    `why` says in a sentence what happened. After TRAINING_TRIES attempts in a row that saved nothing new the job is
    *crashed*. `is_counted`: whether this attempt is one of them. Returns the status; raises `LeaseLost`.
    """
    job = attempt.job
    with transaction.atomic():
        hold(attempt)
        job.refresh_from_db(fields=["status", "tries_without_progress"])
        has_saved = Checkpoint.objects.filter(job=job, token=attempt.token).exists()
        changes = {
            "tries_without_progress": 0 if has_saved else job.tries_without_progress + bool(is_counted)
        }
        if log_tail:
            changes["log_tail"] = log_tail
        if job.status == Status.PAUSING:
            put_back(attempt, Status.PAUSED, why=why, reason=reason, **changes)
        elif is_counted and changes["tries_without_progress"] >= settings.TRAINING_TRIES:
            words = _("%(why)s It was tried %(tries)s times in a row, and nothing new was saved.")
            finish(
                attempt,
                Status.CRASHED,
                message=words % {"why": why, "tries": changes["tries_without_progress"]},
                reason=reason,
                advice=advice or _("Press Try again. If it happens twice, tell whoever runs this machine."),
                **changes,
            )
        else:
            put_back(attempt, Status.QUEUED, why=why, reason=reason, **changes)
    return job.status


def put_back(attempt: Attempt, to: str, *, why: str, reason: str, **changes) -> None:
    """Ends the attempt while its job waits or rests, and says in the history from where it will go on."""
    job = attempt.job
    if not move(job, to, moves=MOVES, where={"fence": attempt.token}, eta_seconds=None, **changes):
        raise LeaseLost(f"attempt {attempt.token} no longer holds job {attempt.job_id}")
    release(attempt, "paused" if to == Status.PAUSED else "requeued")
    saved = Checkpoint.objects.filter(job=job, is_damaged=False).order_by("-step").first()
    begins = (
        _("It will go on from step %(step)s.") % {"step": saved.step}
        if saved
        else _("It will begin again from the start.")
    )
    JobEvent.objects.create(
        job=job,
        kind="training.paused" if to == Status.PAUSED else "job.requeued",
        message=f"{why} {begins}",
        data={"reason": reason, "from_step": saved.step if saved else 0, "token": attempt.token},
    )
    events.job_changed(job)
