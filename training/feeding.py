"""The rows of a reference on their way to the engine: through a pipe that holds nothing.

Credentials and the network stay in the worker; the engine reads a file as ever.
"""

import logging
import os
import threading
from pathlib import Path

import msgspec
from django.db import connection
from django.utils.translation import gettext as _

from datasets_app.models import DatasetVersion
from datasets_app.reference_rows import ReferenceRows
from datasets_app.sources import SourceChanged, SourceError

logger = logging.getLogger(__name__)
OPEN_SECONDS = 0.1  # between two looks whether the engine has opened its end
STOP_SECONDS = 5


class FeedFailed(Exception):
    """The rows did not come, or were not those that were checked (`is_changed`); `str()` says what happened."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(str(problem))
        self.is_changed = isinstance(problem, SourceChanged)


class RowFeed:
    """`with RowFeed(version, path):` makes a named pipe at `path` and writes the rows of a reference into it.

    The engine begins when the pipe is closed, and it is closed only after the bytes that were read have turned out
    to be those that were checked. Otherwise `problem` says why, and the pipe stays open until the engine has been
    ended: it must not learn from half of the rows, or from others.
    """

    def __init__(self, version: DatasetVersion, path: Path) -> None:
        self.rows = ReferenceRows(version)  # opens the credentials; raises SourceError
        self.path = path
        self.problem: Exception | None = None
        self.row_count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="row-feed", daemon=True)
        os.mkfifo(path, 0o600)

    def __enter__(self) -> "RowFeed":
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        """To be left after the engine has ended: a write that nobody reads any more ends by itself."""
        self._stop.set()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            logger.warning("the feed of %s still waits for its store; left behind", self.path.parent.name)

    def check(self) -> None:
        """Raises FeedFailed once something is wrong."""
        if self.problem:
            raise FeedFailed(self.problem)

    def _feed(self) -> None:
        try:
            descriptor = self._open()
            if descriptor is None:
                return
            with open(descriptor, "wb", buffering=1024 * 1024) as pipe:
                self._write(pipe)
        except BrokenPipeError:
            logger.info("the engine stopped reading its rows at %s", self.row_count)
        except Exception:
            logger.exception("feeding the rows of %s broke", self.path.parent.name)
            words = _("Apex itself broke while it read the examples; the log of the worker says where.")
            self.problem = self.problem or RuntimeError(words)
        finally:
            connection.close()  # this thread's own

    def _open(self) -> int | None:
        """The writing end, as soon as the engine reads; None if it never did."""
        while not self._stop.wait(OPEN_SECONDS):
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                continue
            os.set_blocking(descriptor, True)
            return descriptor
        return None

    def _write(self, pipe) -> None:
        encode = msgspec.json.Encoder().encode
        try:
            for row in self.rows:
                if self._stop.is_set():
                    return
                pipe.write(encode(row) + b"\n")
                self.row_count += 1
            pipe.flush()
            self.rows.verify()
        except SourceError as problem:
            self.problem = problem
            self._stop.wait()
