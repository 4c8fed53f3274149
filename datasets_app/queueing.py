"""The nudge that tells a worker of an import."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send_import(import_id) -> None:
    """Nudges a worker. If the broker is away the row stays queued and the sweep sends it again."""
    try:
        current_app.send_task("datasets_app.tasks.run_import", kwargs={"import_id": str(import_id)})
    except OperationalError as problem:
        logger.warning("import %s was not sent, the sweep will send it again: %s", import_id, problem)
