"""Which deployments are answering, told to whoever wants to take one down.

Each web process counts its own answers and, while there are any, renews one mark a deployment in the cache that all
processes share. So the count costs a question nothing, and the mark of a process that was killed goes by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.cache import cache

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
MARK_SECONDS = 5


class InFlight:
    """The answers of this process, by deployment and by node."""

    def __init__(self) -> None:
        self.by_deployment: Counter[str] = Counter()
        self.by_node: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def answering(self, deployment: str, node: str) -> Iterator[None]:
        self.begin(deployment, node)
        try:
            yield
        finally:
            self.end(deployment, node)

    def begin(self, deployment: str, node: str) -> None:
        with self._lock:
            self.by_node[node] += 1
            if not deployment:
                return
            self.by_deployment[deployment] += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._keep_marks, name="in-flight", daemon=True)
                self._thread.start()

    def end(self, deployment: str, node: str) -> None:
        with self._lock:
            for counter, name in ((self.by_node, node), (self.by_deployment, deployment)):
                if name and counter[name] > 1:
                    counter[name] -= 1
                elif name:
                    del counter[name]

    def _keep_marks(self) -> None:
        """Ends when nothing has been answered for a while; the next answer begins it anew."""
        quiet = 0
        while quiet < 10:
            with self._lock:
                busy = list(self.by_deployment)
            quiet = 0 if busy else quiet + 1
            mark(busy)
            time.sleep(BEAT_SECONDS)


def mark(deployments: list[str]) -> None:
    try:
        if deployments:
            cache.set_many({key_of(name): 1 for name in deployments}, MARK_SECONDS)
    except Exception as problem:  # whatever the cache in use raises: the marks are renewed in a second
        logger.warning("could not tell which deployments are answering: %s", problem)


def is_answering(deployment: str) -> bool | None:
    """Whether some process has an answer of it under way; None if nobody can tell."""
    try:
        return cache.get(key_of(deployment)) is not None
    except Exception as problem:  # see above
        logger.warning("could not read whether %s is answering: %s", deployment, problem)
        return None


def key_of(deployment: str) -> str:
    return f"serving.answering.{deployment}"


IN_FLIGHT = InFlight()
