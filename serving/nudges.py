"""The nudge to look after the nodes. A lost one is made up by the next look; a second one finds nothing to do."""

from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from apex.common.queueing import send


def nudge_on_commit() -> None:
    transaction.on_commit(nudge)


def nudge() -> None:
    queue = settings.CELERY_TASK_DEFAULT_QUEUE
    send("serving.tasks.reconcile", {}, queue=queue, lost="the next look is soon")


def nudge_about(node_id: str) -> None:
    """A node was not there when it was asked; told once a second at most, however many questions find out."""
    if cache.add(f"serving.nudged.{node_id}", 1, 1):
        nudge()
