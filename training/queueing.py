"""Where a job is expected to run, and the nudge that tells workers to look for work."""

from django.conf import settings
from django.db.models import Count

from apex.common.queueing import send
from training import waiting
from training.models import Device, TrainingJob


def choose_queue(wanted: str = "") -> str:
    """Where a job is expected: the queue it wants, else that with the fewest unfinished jobs; the first of equals."""
    if wanted:
        return wanted
    unfinished = {
        row["queue"]: row["jobs"]
        for row in TrainingJob.objects.unfinished().order_by().values("queue").annotate(jobs=Count("id"))
    }
    known = Device.objects.filter(is_enabled=True, node__is_online=True).values_list("queue", flat=True)
    return min(list(known) or settings.TRAINING_QUEUES, key=lambda queue: unfinished.get(queue, 0))


def nudge_workers() -> int:
    """Tells the worker of each free device for which there is something to do. Returns how many were told.

    Told twice or never, nothing is lost: a worker looks for itself before it begins, after each job and every
    TRAINING_LOOK_SECONDS.
    """
    queues = waiting.queues_to_nudge()
    for queue in queues:
        nudge(queue)
    return len(queues)


def nudge(queue: str) -> None:
    send("training.tasks.work_on_queue", {"queue": queue}, queue=queue, lost="it will look by itself")
