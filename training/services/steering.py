"""A training under way is cancelled, paused, let go on, or put before others."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from training import chain_nudges, events, paying
from training.models import MOVES, JobEvent, Status, TrainingJob
from training.queueing import nudge_workers
from training.services.refusing import StartRefused, refuse_priority


def cancel_job(*, job: TrainingJob) -> bool:
    """Stops a job that waits or runs, for good. The worker ends its child within seconds. False if it had ended."""
    with transaction.atomic():
        won = move(job, Status.CANCELLED, moves=MOVES, ended_at=timezone.now(), eta_seconds=None)
        if won:
            JobEvent.objects.create(job=job, kind="job.cancelled", message=_("Stopped by its owner."))
            paying.release_for(job)
            chain_nudges.job_ended(job)
            events.job_changed(job)
    return won


def pause_job(*, job: TrainingJob) -> bool:
    """Lets a job rest. One that waits rests at once; one that runs saves where it is first. False if it cannot."""
    with transaction.atomic():
        if move(job, Status.PAUSED, moves=MOVES, where={"status": Status.QUEUED}):
            JobEvent.objects.create(job=job, kind="training.paused", message=_("Paused while it waited."))
        elif move(job, Status.PAUSING, moves=MOVES):
            words = _("Its owner pauses it; it saves where it is at the end of this step.")
            JobEvent.objects.create(job=job, kind="training.pausing", message=words)
        else:
            return False
        events.job_changed(job)
    return True


def resume_job(*, job: TrainingJob) -> bool:
    """Lets a paused job go on: it waits for its turn again. False if it does not rest."""
    with transaction.atomic():
        won = move(job, Status.QUEUED, moves=MOVES, where={"status": Status.PAUSED}, queued_at=timezone.now())
        if won:
            JobEvent.objects.create(job=job, kind="job.resumed", message=_("Goes on; waiting for its turn."))
            events.job_changed(job)
            transaction.on_commit(nudge_workers)
    return won


def change_priority(*, job: TrainingJob, priority: int, by) -> None:
    """Lets a job that has not ended wait more or less patiently. Raises `StartRefused`."""
    refuse_priority(by, priority)
    changed = TrainingJob.objects.unfinished().filter(pk=job.pk).update(priority=priority)
    if not changed:
        raise StartRefused(_("%(name)s has ended; its turn is over.") % {"name": job.name}, field="priority")
    job.priority = priority
    events.job_changed(job)
