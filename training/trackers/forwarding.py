"""Sends what a training measures to the chosen tracker, from a thread of its own, and never in its way.

The store is the queue: the thread reads what it has not sent yet, so nothing is held in memory or lost while the
tracker is away, and an attempt that goes on sends what the one before could not.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _

from training.metrics import store
from training.models import ENDED, JobEvent, Status, TrainingJob
from training.trackers import chosen_tracker
from training.trackers.base import Run, Tracker, TrackerAway

logger = logging.getLogger(__name__)
EVERY_SECONDS = 2.0
LONGEST_WAIT = 60.0  # between two tries while it is away
LAST_SECONDS = 15.0  # to send the rest, once the training has ended
STEPS_A_CALL = 100


@contextmanager
def forwarding(job: TrainingJob) -> Iterator[None]:
    """While the block lasts, and up to `LAST_SECONDS` after it, the chosen tracker is told of the job."""
    tracker = chosen_tracker()
    if tracker is None:
        yield
        return
    forwarder = Forwarder(job, tracker)
    forwarder.thread.start()
    try:
        yield
    finally:
        forwarder.finish()


def describe_run(job_id) -> Run:
    related = ("owner", "base_model", "dataset_version__dataset")
    job = TrainingJob.objects.select_related(*related).get(pk=job_id)
    version = job.dataset_version
    params = {"method": job.method, "base_model": job.base_model.name, "dataset": version.dataset.name}
    params |= {"dataset_version": str(version.number)}
    return Run(
        job=str(job.pk),
        name=job.name,
        owner=job.owner.get_username(),
        params=params | {name: str(value) for name, value in job.config.items()},
        tags={"apex.dataset_sha256": version.rows_sha256 or ""},
    )


class Forwarder:
    """`sent`: the highest step that the tracker has; None until it has been opened."""

    def __init__(self, job: TrainingJob, tracker: Tracker):
        self.job = job
        self.tracker = tracker
        self.sent: int | None = None
        self.problem = ""
        self.over = threading.Event()
        self.give_up_at: float | None = None
        self.thread = threading.Thread(target=self.run, name="tracker", daemon=True)

    def finish(self) -> None:
        """Waits for the rest to be sent, not longer than `LAST_SECONDS`."""
        self.give_up_at = time.monotonic() + LAST_SECONDS
        self.over.set()
        self.thread.join(LAST_SECONDS + 1)

    def run(self) -> None:
        wait = EVERY_SECONDS
        try:
            while True:
                is_over = self.over.wait(wait)
                done = self.try_once(is_over)
                wait = EVERY_SECONDS if done else min(wait * 2, LONGEST_WAIT)
                if is_over and (done or time.monotonic() + 1 > (self.give_up_at or 0)):
                    break
                if is_over:
                    time.sleep(1)
            self.say_what_is_missing()
        except (DatabaseError, InterfaceError) as problem:
            logger.warning("job %s: the tracker's thread ends: %s", self.job.pk, type(problem).__name__)
        finally:
            connection.close()

    def try_once(self, is_over: bool) -> bool:
        """Sends what there is; False if it could not. Nothing that goes wrong here concerns the training."""
        try:
            if self.sent is None:
                self.sent = self.tracker.open(describe_run(self.job.pk))
            status = Status.RUNNING
            if is_over:
                found = TrainingJob.objects.filter(pk=self.job.pk).values_list("status", flat=True).first()
                status = found or Status.CANCELLED
            self.send(is_whole=status in ENDED)
            if is_over:
                self.tracker.close(status)
        except TrackerAway as problem:
            self.note(str(problem))
            return False
        except Exception as problem:
            # The text of an unknown problem may hold an address with a password in it.
            self.note(type(problem).__name__)
            return False
        self.problem = ""
        return True

    def note(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning("job %s: %s is not told for now: %s", self.job.pk, self.tracker.name, problem)
        self.problem = problem

    def send(self, is_whole: bool) -> None:
        """All steps behind `sent`; the newest only when the job has ended, as a check of it may still come."""
        newest = store.last_step(self.job.pk)
        if newest is None:
            return
        for block in store.read_blocks(self.job, self.sent + 1, newest if is_whole else newest - 1):
            rows = block.rows()
            for place in range(0, len(rows), STEPS_A_CALL):
                part = rows[place : place + STEPS_A_CALL]
                self.tracker.log(part)
                self.sent = part[-1]["step"]
                if self.give_up_at is not None and time.monotonic() > self.give_up_at:
                    raise TrackerAway("there was no time for the rest")

    def say_what_is_missing(self) -> None:
        """In the job's history, if something could not be sent."""
        job = TrainingJob.objects.filter(pk=self.job.pk).first()
        if not self.problem or job is None:
            return
        first = 0 if self.sent is None else self.sent + 1
        missing = sum(len(block) for block in store.read_blocks(job, first))
        message = _(
            "%(tracker)s has not been told of %(count)s steps: %(problem)s. They are all kept here, and go along when "
            "this training goes on."
        ) % {"tracker": self.tracker.name, "count": missing, "problem": self.problem}
        JobEvent.objects.create(job=job, kind="training.log", message=message)
