"""The engine never outlives whoever started it."""

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
# As a shell reports a process that SIGTERM ended.
ENDED = 128 + signal.SIGTERM


def hold_on_to_standard_input() -> None:
    """Ends this process at once when its standard input closes, or, on Linux, when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    # Straight from the descriptor: Python's buffered reader would hold a lock at exit.
    while os.read(0, 4096):
        continue
    # The main thread may sit in a long kernel call, so nothing is asked of it.
    os._exit(ENDED)
