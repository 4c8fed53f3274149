"""Checkpoints and adapters between the engine's folder and the store: put there, row written, fetched again.

What is being stored is noted in the attempt before the first byte, so that nothing stays behind whoever is killed.
"""

import errno
import logging
import shutil
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

from apex.common import files
from training import checkpoints, events, leases
from training.models import Attempt, Checkpoint, JobEvent

logger = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(Exception):
    """There is no room for what was to be stored; `str()` says what and where."""


def is_full(problem: OSError) -> bool:
    return problem.errno in FULL


def store_directory(attempt: Attempt, path: Path, workspace: Path) -> files.Stored:
    """Packs the directory in `workspace` and keeps it by its hash. Raises `DiskFull`; nothing half-written stays."""
    packed = workspace / f"{path.name}.zip"
    try:
        files.pack_directory(path, packed)
        stored = files.stored_as(packed)
        note_storing(attempt, stored.sha256)
        files.put_file(packed)
    except OSError as problem:
        if is_full(problem):
            raise DiskFull(
                _("The disk is full: %(name)s of %(job)s could not be stored (%(problem)s).")
                % {"name": path.name, "job": attempt.job.name, "problem": problem.strerror}
            ) from problem
        raise
    finally:
        packed.unlink(missing_ok=True)
    return stored


def note_storing(attempt: Attempt, sha256: str) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(storing_sha256=sha256)
    attempt.storing_sha256 = sha256


class Keeper:
    """Stores the checkpoints that the engine says, once the metrics of their steps are written.

    What could not be written, because the database is away, waits for the next `store`.
    """

    def __init__(self, attempt: Attempt, workspace: Path):
        self.attempt = attempt
        self.workspace = workspace
        self.waiting: list[dict] = []
        self.stored: files.Stored | None = (
            None  # of the first that waits: its bytes are there, its row is not
        )
        self.count = 0

    def add(self, event: dict) -> None:
        self.waiting.append(event)

    def store(self) -> None:
        """Raises `LeaseLost` and `DiskFull`."""
        while self.waiting:
            event = self.waiting[0]
            path = Path(event["path"])
            self.stored = self.stored or store_directory(self.attempt, path, self.workspace)
            self.write_row(event, self.stored)
            self.stored = None
            del self.waiting[0]
            shutil.rmtree(path, ignore_errors=True)

    def write_row(self, event: dict, stored: files.Stored) -> None:
        job, step = self.attempt.job, event["step"]
        with transaction.atomic():
            leases.hold(self.attempt, tries_without_progress=0)
            before = job.checkpoints.filter(step=step).values_list("directory_sha256", flat=True)
            replaced = [sha256 for sha256 in before if sha256 != stored.sha256]
            if event.get("is_best"):
                job.checkpoints.filter(is_best=True).update(is_best=False)
            Checkpoint.objects.update_or_create(
                job=job,
                step=step,
                defaults={
                    "token": self.attempt.token,
                    "directory_sha256": stored.sha256,
                    "size_bytes": stored.size,
                    "eval_loss": event.get("eval_loss"),
                    "is_best": bool(event.get("is_best")),
                    "is_damaged": False,
                    "reason": event.get("reason", "interval")[:20],
                },
            )
            note_storing(self.attempt, "")
            self.note_in_history(step)
            checkpoints.prune(job)
            checkpoints.discard(replaced)
            events.job_changed(job)
        self.count += 1

    def note_in_history(self, step: int) -> None:
        """One line an attempt, however many checkpoints it writes."""
        token = self.attempt.token
        count = self.count + 1
        words = _("Its state is saved, last at step %(step)s.") % {"step": step}
        lines = JobEvent.objects.filter(job=self.attempt.job, kind="training.checkpoint", data__token=token)
        data = {"token": token, "step": step, "count": count}
        if not lines.update(message=words, data=data):
            JobEvent.objects.create(
                job=self.attempt.job, kind="training.checkpoint", message=words, data=data
            )


def fetch_newest(attempt: Attempt, workspace: Path) -> tuple[Checkpoint, Path] | None:
    """The newest checkpoint that can be read, unpacked in `workspace`; None if the job begins from the start.

    One whose bytes are gone or are others than those that were stored is marked, and the one before is tried.
    """
    while found := checkpoints.newest_good(attempt.job):
        target = workspace / f"step-{found.step:08d}"
        try:
            return found, files.fetch_directory(found.directory_sha256, target)
        except files.Damaged as problem:
            logger.warning("checkpoint of job %s at step %s: %s", attempt.job_id, found.step, problem)
            shutil.rmtree(target, ignore_errors=True)
            mark_damaged(attempt, found)
        except OSError as problem:
            if is_full(problem):
                words = _("The disk is full: there is no room to unpack the checkpoint of step %(step)s.")
                raise DiskFull(words % {"step": found.step}) from problem
            raise
    return None


def mark_damaged(attempt: Attempt, checkpoint: Checkpoint) -> None:
    """Says in the history that a checkpoint is of no use, and from where it goes on instead."""
    with transaction.atomic():
        leases.hold(attempt)
        Checkpoint.objects.filter(pk=checkpoint.pk).update(is_damaged=True, is_best=False)
        before = checkpoints.newest_good(attempt.job)
        said = _("What was saved at step %(step)s cannot be read again: it is damaged.") % {
            "step": checkpoint.step
        }
        instead = (
            _("It goes on from step %(step)s instead.") % {"step": before.step}
            if before
            else _("It begins again from the start.")
        )
        JobEvent.objects.create(
            job=attempt.job,
            kind="training.checkpoint_damaged",
            message=f"{said} {instead}",
            data={"step": checkpoint.step, "from_step": before.step if before else 0},
        )
        events.job_changed(attempt.job)
