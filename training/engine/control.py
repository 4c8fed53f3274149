"""What the engine is asked while it trains, word by word on its standard input; and it never outlives who asks."""

import ctypes
import os
import select
import signal
import sys
import threading

CHECKPOINT, PAUSE = "checkpoint", "pause"
WORDS = (CHECKPOINT, PAUSE)
PR_SET_PDEATHSIG = 1
# As a shell reports a process that SIGTERM ended.
ENDED = 128 + signal.SIGTERM
LONGEST_WORD = 100


class Paused(Exception):
    """The training was asked to pause, wrote its checkpoint and said `paused`; nothing is left to do."""


class Control:
    """The words that have come and were not acted on yet. Any thread may add one."""

    def __init__(self) -> None:
        # Why no word can be acted on, where that is so.
        self.obstacle = ""
        self._waiting: set[str] = set()
        self._lock = threading.Lock()

    def add(self, word: str) -> None:
        """Keeps `word` until it is taken; one that has no meaning is told on standard error."""
        if word not in WORDS:
            _leave_alone(word, f"it is not one of {', '.join(WORDS)}")
            return
        with self._lock:
            self._waiting.add(word)

    def take(self) -> set[str]:
        """What was asked since the last time; to be called once at the end of a step."""
        with self._lock:
            taken, self._waiting = self._waiting, set()
        if not self.obstacle:
            return taken
        for word in taken:
            _leave_alone(word, self.obstacle)
        return set()


def _leave_alone(word: str, why: str) -> None:
    print(f"{word!r} on standard input is left alone: {why}", file=sys.stderr)


def listen(control: Control, *, keep_running: bool = False, is_first: bool = True) -> None:
    """Reads standard input in a thread of its own and adds its words to `control`.

    Ends this process at once when standard input closes, or, on Linux, when its parent dies; with
    `keep_running` neither matters. Of several processes on one standard input only the first takes words from it.
    """
    if sys.platform == "linux" and not keep_running:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if is_first:
        threading.Thread(target=_read, args=(control, keep_running), name="control", daemon=True).start()
    elif not keep_running:
        threading.Thread(target=_end_with_input, name="control", daemon=True).start()


def _read(control: Control, keep_running: bool) -> None:
    rest = b""
    # Straight from the descriptor: Python's buffered reader would hold a lock at exit.
    while said := _next():
        *lines, rest = (rest + said).split(b"\n")
        rest = rest[-LONGEST_WORD:]
        for line in lines:
            if word := line.decode(errors="replace").strip():
                control.add(word)
    if not keep_running:
        # The main thread may sit in a long kernel call, so nothing is asked of it.
        os._exit(ENDED)


def _end_with_input() -> None:
    """Waits until nobody can write to standard input any more, and leaves what is written there to others."""
    closed = select.poll()
    closed.register(0, 0)  # a hang-up is always told
    closed.poll()
    os._exit(ENDED)


def _next() -> bytes:
    try:
        return os.read(0, 4096)
    except OSError:  # a shell may have closed it before we began
        return b""
