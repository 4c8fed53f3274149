"""Writing down what the engine says while it works, and telling it what has become of its job."""

import logging
import time

from django.db import close_old_connections

from training import leases, persisting
from training.child import EngineChild
from training.feeding import RowFeed
from training.keeping import Keeper
from training.models import Attempt, Status
from training.recording import Recorder

logger = logging.getLogger(__name__)
FLUSH_SECONDS = 0.1  # at most ten transactions a second, however fast the steps come
LOOK_SECONDS = 1  # how soon it is noticed that a job was cancelled or shall pause
LOG_SECONDS = 4  # how old the log is on the page of a job at work
STOP_SECONDS = 4  # for a last checkpoint, when the worker is to end
LAST_WORDS = ("finished", "failed", "paused")


class WorkerStops(Exception):
    """The worker was asked to end while the training runs."""


def follow(attempt: Attempt, child: EngineChild, keeper: Keeper, feed: RowFeed | None = None) -> dict | None:
    """Writes down what the child says until it ends; returns its last word (`LAST_WORDS`), if it had one.

    While the database is away, what was said is kept and written later. Raises `LeaseLost` if the job is cancelled
    or taken over meanwhile, `FeedFailed` if its rows stop coming, `DiskFull`, and `WorkerStops`; leaving the child's
    context ends it.
    """
    recorder, ending = Recorder(attempt), None
    watch = Watch(attempt, child)
    while True:
        if feed is not None:
            feed.check()
        event = child.next_event(timeout=FLUSH_SECONDS)
        ended = event is None and child.has_ended()
        if event is not None:
            recorder.add(event)
            watch.hear(event)
            if event["event"] == "checkpoint":
                keeper.add(event)
            ending = event if event["event"] in LAST_WORDS else ending
            # A checkpoint is stored before any later step is shown: at most one interval is made again.
            if event["event"] != "checkpoint" and not recorder.is_due(FLUSH_SECONDS):
                continue
        try:
            recorder.flush()
            keeper.store()
            watch.look()
        except leases.DATABASE_AWAY as problem:
            logger.warning("job %s: could not write, will try again: %s", attempt.job_id, problem)
            close_old_connections()
            time.sleep(persisting.AWAY_SECONDS)
        if ended and not recorder.waiting and not keeper.waiting:
            return ending
        watch.stop_if_asked()


class Watch:
    """Tells the child what has become of its job: that it shall pause, or that the worker ends."""

    def __init__(self, attempt: Attempt, child: EngineChild):
        self.attempt = attempt
        self.child = child
        self.looked_at = self.logged_at = time.monotonic()
        self.log_tail = ""
        self.is_told = self.has_stepped = False
        self.stop_by: float | None = None

    def hear(self, event: dict) -> None:
        self.has_stepped = self.has_stepped or event["event"] == "step"

    def look(self) -> None:
        """Once a second; raises `LeaseLost` if the job was cancelled or taken over."""
        if time.monotonic() - self.looked_at < LOOK_SECONDS:
            return
        if leases.look(self.attempt) == Status.PAUSING:
            self.tell_to_pause()
        self.keep_log()
        self.looked_at = time.monotonic()

    def keep_log(self) -> None:
        """Now and then the end of the log goes to the job's row, where its page reads it."""
        if time.monotonic() - self.logged_at < LOG_SECONDS:
            return
        self.logged_at = time.monotonic()
        tail = self.child.log_tail()
        if tail != self.log_tail:
            leases.hold(self.attempt, log_tail=tail)
            self.log_tail = tail

    def tell_to_pause(self) -> None:
        if not self.is_told:
            self.child.tell("pause")
            self.is_told = True

    def stop_if_asked(self) -> None:
        """When the worker is to end, a training that has done a step gets STOP_SECONDS to save where it is."""
        if not persisting.shutting_down.is_set():
            return
        if self.stop_by is None:
            self.stop_by = time.monotonic() + (STOP_SECONDS if self.has_stepped else 0)
            self.tell_to_pause()
        if time.monotonic() >= self.stop_by:
            raise WorkerStops
