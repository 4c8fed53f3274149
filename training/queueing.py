"""Which queue a job waits in, and the nudge that tells a worker of it."""

import logging

from celery import current_app
from django.conf import settings
from django.db.models import Count
from kombu.exceptions import OperationalError

from training.models import TrainingJob

logger = logging.getLogger(__name__)


def choose_queue() -> str:
    """The training queue with the fewest unfinished jobs; the first of equals."""
    waiting = {
        row["queue"]: row["jobs"]
        for row in TrainingJob.objects.unfinished().values("queue").annotate(jobs=Count("id"))
    }
    return min(settings.TRAINING_QUEUES, key=lambda queue: waiting.get(queue, 0))


def send_job(job: TrainingJob) -> None:
    """Nudges a worker. If the broker is away the row stays queued and the sweep sends it again."""
    try:
        current_app.send_task("training.tasks.run_job", kwargs={"job_id": str(job.pk)}, queue=job.queue)
    except OperationalError as problem:
        logger.warning("job %s was not sent, the sweep will send it again: %s", job.pk, problem)
