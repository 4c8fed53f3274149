"""Writing what a worker knows, however long the database is away; and the word that the worker is to end."""

import logging
import threading
import time
from collections.abc import Callable

from django.db import close_old_connections

from training import leases

logger = logging.getLogger(__name__)
shutting_down = threading.Event()
AWAY_SECONDS = 1  # between two tries to write while the database is away


def persist(write: Callable, *args, **kwargs):
    """Writes, however long the database is away. Raises what `write` raises; gives up only when the worker ends."""
    while True:
        try:
            return write(*args, **kwargs)
        except leases.DATABASE_AWAY as problem:
            if shutting_down.is_set():
                raise
            logger.warning("could not write, will try again: %s", problem)
            close_old_connections()
            time.sleep(AWAY_SECONDS)
