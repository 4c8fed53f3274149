"""A word to workers that there is something to do. What that is stands in a row: a word that is lost is made up by a
sweep or a look, and a second one finds nothing to do."""

import logging
from collections.abc import Mapping

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def send(task: str, told: Mapping[str, str], *, lost: str, queue: str | None = None) -> bool:
    """Sends `task`, told this, to the default queue or another one.

    Where the broker is away: False, and the log says so, with what becomes of it then (`lost`).
    """
    to = {} if queue is None else {"queue": queue}
    try:
        current_app.send_task(task, kwargs=dict(told), **to)
    except OperationalError as problem:
        logger.warning("%s of %s was not sent, %s: %s", task, dict(told), lost, problem)
        return False
    return True
