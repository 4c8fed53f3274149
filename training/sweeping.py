"""The periodic sweep: closes jobs whose worker fell silent, and sends again those whose nudge was lost."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from training import leases
from training.models import Attempt, Status, TrainingJob
from training.queueing import send_job

logger = logging.getLogger(__name__)


def sweep() -> None:
    close_silent_attempts()
    send_lost_jobs()


def close_silent_attempts() -> int:
    """Jobs whose lease ran out become *crashed*. Returns how many."""
    silent = Attempt.objects.open().filter(
        lease_until__lt=timezone.now(), job__status=Status.RUNNING, job__fence=F("token")
    )
    closed = 0
    for attempt in silent.select_related("job", "job__owner"):
        try:
            leases.finish(
                attempt,
                Status.CRASHED,
                message=_("The worker fell silent: its process was ended, or the machine went down."),
                reason="worker_lost",
                advice=_(
                    "Nothing of yours is lost. Press Try again; twice in a row may mean too little memory."
                ),
            )
            closed += 1
        except leases.LeaseLost:
            logger.info("job %s was closed by its worker in the same moment", attempt.job_id)
    return closed


def send_lost_jobs() -> int:
    """Queued jobs that nobody took for a while are sent again; a duplicate is skipped by the claim."""
    now = timezone.now()
    overdue = now - timedelta(seconds=settings.TRAINING_RESEND_SECONDS)
    sent = 0
    for job in TrainingJob.objects.filter(status=Status.QUEUED, sent_at__lt=overdue):
        if TrainingJob.objects.filter(pk=job.pk, status=Status.QUEUED, sent_at=job.sent_at).update(
            sent_at=now
        ):
            send_job(job)
            sent += 1
    return sent
