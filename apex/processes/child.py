"""One process of the plan: started in a session of its own, with a log file, stopped with all that it started."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .places import ROOT
from .plan import Process

LOG_LIMIT_BYTES = 10 * 1024**2

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Loaded here, not in the child: between fork and exec as little as possible may happen.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """A process of the plan and, while it runs, its system process. Times are of `time.monotonic()`."""

    def __init__(self, process: Process, *, logs: Path, environment: dict[str, str]):
        self.process = process
        self.log = logs / f"{process.name}.log"
        self.environment = environment
        self.system: subprocess.Popen | None = None
        self.started = 0.0
        self.starts = 0
        self.is_ready = False
        self.next_start: float | None = 0.0  # None while it runs
        self.failures_in_a_row = 0
        self.unwell_in_a_row = 0
        self._log_offset = 0

    @property
    def pid(self) -> int | None:
        """The system's number of the process, or None while it does not run."""
        return self.system.pid if self.system is not None else None

    def start(self) -> None:
        """Start the process. Raises OSError if the log cannot be written or the program is missing."""
        self.rotate_log()
        parent = os.getpid()
        with open(self.log, "ab") as log:
            self._log_offset = log.tell()
            self.system = subprocess.Popen(
                self.process.command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )
        self.started = time.monotonic()
        self.starts += 1
        self.is_ready = False
        self.next_start = None
        self.unwell_in_a_row = 0

    def look_if_ready(self) -> bool:
        """Ask whether the process has finished starting, and remember a yes."""
        if not self.is_ready and self.system is not None:
            if self.process.is_ready is not None:
                self.is_ready = self.process.is_ready()
            else:
                self.is_ready = self.process.ready_text.encode() in self.new_log()
        return self.is_ready

    def new_log(self) -> bytes:
        """Return what the present run has written to its log so far (at most the last 64 kB)."""
        try:
            with open(self.log, "rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_offset, end - 65536))
                return log.read()
        except FileNotFoundError:
            return b""

    def rotate_log(self) -> None:
        """Put a log that has become too long aside; also while the process writes to it."""
        if rotate(self.log):
            self._log_offset = 0

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal) if the process has ended, else None."""
        return None if self.system is None else self.system.poll()

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and to what it started in its group; nothing if all are gone."""
        if self.system is not None:
            try:
                os.killpg(self.system.pid, number)
            except ProcessLookupError:
                return

    def clear(self) -> None:
        """Forget the ended process, after killing what it left behind in its group."""
        self.signal_group(signal.SIGKILL)
        self.system = None
        self.is_ready = False


def rotate(log: Path, limit: int = LOG_LIMIT_BYTES) -> bool:
    """Copy a log of more than `limit` bytes to `NAME.log.1` and empty it; returns whether it did.

    Copied, not renamed: whoever writes to it has it open, and appends, so goes on at the new beginning.
    """
    try:
        if log.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
    return True


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent ends in whatever way. Elsewhere: nothing."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Ask Linux that processes whose parent ends below us become our children, so that we can end them."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
