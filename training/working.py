"""A training worker's own threads: one that announces the machine, and for each of its queues one that works.

Celery's thread only hears nudges, so it always answers. The row is the truth: with the broker away, jobs are found
by looking every TRAINING_LOOK_SECONDS.
"""

import logging
import threading
import time

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections, connection

from training import execution, leases, nodes, persisting, sweeping, waiting
from training.models import Attempt

logger = logging.getLogger(__name__)
JOIN_SECONDS = 9  # `manage.py up` kills what has not ended after 10
BEATS = 2.5  # without one for so long, what a worker that is gone had is taken back
MISSES = 3  # how often in a row others may be faster, before the next look waits
hands: dict[str, "Hand"] = {}  # of this process, by queue


def work(queue: str) -> int:
    """Takes what waits for this device, job after job, until nothing does. Returns how many it ran."""
    done = misses = 0
    while misses < MISSES and not persisting.shutting_down.is_set():
        found = waiting.take_next(queue)
        if found is None:
            break
        asked, queues = found
        attempt = leases.claim(str(asked.job), execution.worker_name(), queues)
        if attempt is None:
            misses += 1
            continue
        misses = 0
        execution.execute(attempt)
        done += 1
    return done


class Hand(threading.Thread):
    """Works on one device for as long as the worker lives. The engine dies with this thread, so it never ends early."""

    def __init__(self, queue: str):
        super().__init__(name=f"hand-{queue}", daemon=True)
        self.queue = queue
        self.nudged = threading.Event()

    def run(self) -> None:
        while not persisting.shutting_down.is_set():
            self.nudged.wait(settings.TRAINING_LOOK_SECONDS)  # at first for the announcer
            self.nudged.clear()
            try:
                work(self.queue)
            except Exception:
                logger.exception("the worker of %s broke; it goes on", self.queue)
            close_old_connections()
        connection.close()


class Announcer(threading.Thread):
    """Says that this machine is there, beats for it, and keeps order among the jobs while the broker is away."""

    def __init__(self, queues: list[str]):
        super().__init__(name="announcer", daemon=True)
        self.queues = queues
        self.node_id: int | None = None
        self.swept_at = self.suspected_at = time.monotonic()
        self.suspects: list[Attempt] = []  # left by a worker that was here before

    def run(self) -> None:
        while not persisting.shutting_down.is_set():
            try:
                self.turn()
            except leases.DATABASE_AWAY as problem:
                logger.warning("the machine could not be announced, will try again: %s", problem)
            except Exception:
                logger.exception("the announcer broke; it goes on")
            close_old_connections()
            persisting.shutting_down.wait(settings.TRAINING_HEARTBEAT_SECONDS)
        connection.close()

    def turn(self) -> None:
        if self.node_id is None:
            self.suspects, self.suspected_at = sweeping.left_by_dead_workers(self.queues), time.monotonic()
        if self.node_id is None or not nodes.beat(self.node_id):
            for queue in self.queues:
                self.node_id = nodes.announce(queue).node_id
                nudge(queue)
        if (
            self.suspects
            and time.monotonic() - self.suspected_at > BEATS * settings.TRAINING_HEARTBEAT_SECONDS
        ):
            sweeping.take_back_if_still(self.suspects)
            self.suspects = []
            for queue in self.queues:
                nudge(queue)
        if time.monotonic() - self.swept_at > settings.TRAINING_LOOK_SECONDS:
            self.swept_at = time.monotonic()
            sweeping.keep_order()


def nudge(queue: str) -> bool:
    """Wakes the thread of this queue; False if this process has none."""
    hand = hands.get(queue)
    if hand is None:
        logger.info("a nudge for %s came to a worker that does not serve it", queue)
        return False
    hand.nudged.set()
    return True


@worker_ready.connect
def start_hands(sender=None, **kwargs) -> None:
    """Begins to work on the training queues that this Celery worker consumes from."""
    served = sender.app.amqp.queues.consume_from
    queues = [queue for queue in settings.TRAINING_QUEUES if queue in served]
    if not queues or hands:
        return
    for queue in queues:
        hands[queue] = Hand(queue)
        hands[queue].start()
    Announcer(queues).start()


@worker_shutting_down.connect
def stop_soon(**kwargs) -> None:
    persisting.shutting_down.set()
    for hand in hands.values():
        hand.nudged.set()


@worker_shutdown.connect
def wait_for_hands(**kwargs) -> None:
    """Gives trainings the time to save where they are and to be given back."""
    stop_soon()
    until = time.monotonic() + JOIN_SECONDS
    for hand in hands.values():
        hand.join(max(0.0, until - time.monotonic()))
