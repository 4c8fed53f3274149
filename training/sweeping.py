"""The periodic sweep: takes back what lost its worker, notes machines that fell silent, tells workers of work.

A worker counts its heartbeats. Whoever sweeps compares the count with what the last look saw, and adds up by its own
clock for how long it has stood still. One look adds at most half a lease, so that a clock that is set, a sweep that
was late or a database that was away never takes a living worker for lost (docs/decisions/0071).
"""

import logging

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from training import chain_nudges, checkpoints, leases, paying
from training.leftovers import is_gone
from training.models import HELD, Attempt, Device, Node
from training.queueing import nudge_workers

logger = logging.getLogger(__name__)


def sweep() -> None:
    keep_order()
    nudge_workers()
    chain_nudges.nudge_waiting()


def keep_order() -> None:
    """All of the sweep that needs no broker; training workers do it too."""
    take_back_lost_jobs()
    note_silent_nodes()
    free_leftover_devices()
    checkpoints.delete_discarded()
    paying.look_after()


def seconds_still(row: Attempt | Node) -> float:
    """For how long the row's beats have stood still, seen from here and now; writes down what was seen."""
    now = timezone.now()
    if row.seen_at is None or row.seen_beats != row.beats:
        still = 0.0
    else:
        passed = (now - row.seen_at).total_seconds()
        still = row.still_seconds + min(max(passed, 0.0), settings.TRAINING_LEASE_SECONDS / 2)
    # Of two that sweep at once one writes, so that no time counts twice.
    rows = type(row)._base_manager.filter(pk=row.pk, seen_at=row.seen_at, beats=row.beats)
    wrote = rows.update(seen_beats=row.beats, seen_at=now, still_seconds=still)
    return still if wrote else 0.0


def take_back_lost_jobs() -> int:
    """Jobs whose worker fell silent for the time of a lease wait again. Returns how many."""
    taken = 0
    for attempt in Attempt.objects.open().select_related("job", "job__owner"):
        if seconds_still(attempt) < settings.TRAINING_LEASE_SECONDS:
            continue
        taken += take_back(attempt)
    return taken


def left_by_dead_workers(queues: list[str]) -> list[Attempt]:
    """Attempts that have a device of these queues though their worker, on this machine, is gone: what a worker that
    was killed left to the one that takes its place. Whoever asks looks again before it believes it."""
    holders = Attempt.objects.open().filter(devices__queue__in=queues).distinct()
    return [attempt for attempt in holders if is_gone(attempt.worker)]


def take_back_if_still(attempts: list[Attempt]) -> int:
    """Takes back those whose beats are as they were when they were read. Returns how many jobs wait again."""
    taken = 0
    for seen in attempts:
        now = Attempt.objects.open().select_related("job__owner").filter(pk=seen.pk, beats=seen.beats).first()
        taken += take_back(now) if now else 0
    return taken


def take_back(attempt: Attempt) -> bool:
    """Closes an attempt that lost its worker; says whether it still had the job."""
    had_it = attempt.job.fence == attempt.token and attempt.job.status in HELD
    try:
        if had_it:
            leases.give_back(
                attempt,
                why=_("The worker fell silent: its process was ended, or the machine went down."),
                reason="worker_lost",
            )
        else:  # its job was stopped or taken over, and it never came to say that it knows
            leases.release(attempt, "lost")
    except leases.LeaseLost:
        logger.info("job %s was closed by its worker in the same moment", attempt.job_id)
        return False
    return had_it


def note_silent_nodes() -> int:
    """Machines whose workers all fell silent are offline until they beat again. Returns how many became so."""
    silent = 0
    for node in Node.objects.filter(is_online=True):
        if seconds_still(node) >= settings.TRAINING_LEASE_SECONDS:
            silent += Node.objects.filter(pk=node.pk, beats=node.beats).update(is_online=False)
    return silent


def free_leftover_devices() -> int:
    """Frees devices whose attempt has ended without freeing them. Returns how many."""
    return Device.objects.filter(holder__ended_at__isnull=False).update(holder=None)
