"""The nudge to look after the nodes. A lost one is made up by the next look; a second one finds nothing to do."""

import logging

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def nudge_on_commit() -> None:
    transaction.on_commit(nudge)


def nudge() -> None:
    try:
        current_app.send_task("serving.tasks.reconcile", queue=settings.CELERY_TASK_DEFAULT_QUEUE)
    except OperationalError as problem:
        logger.warning("nobody was told to look after the nodes; the next look is soon: %s", problem)


def nudge_about(node_id: str) -> None:
    """A node was not there when it was asked; told once a second at most, however many questions find out."""
    if cache.add(f"serving.nudged.{node_id}", 1, 1):
        nudge()
