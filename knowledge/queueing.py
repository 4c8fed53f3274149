"""The nudges that tell a worker of a document or an index."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send_document(document_id) -> None:
    send("knowledge.tasks.read_document", document_id=str(document_id))


def send_index(index_id) -> None:
    send("knowledge.tasks.build_index", index_id=str(index_id))


def send(task: str, **ids: str) -> None:
    """If the broker is away the row stays queued, and the sweep sends it again."""
    try:
        current_app.send_task(task, kwargs=ids)
    except OperationalError as problem:
        logger.warning("%s of %s was not sent, the sweep will send it again: %s", task, ids, problem)
