"""What the engine says: one JSON object a line. The fields are listed in docs/architecture.md."""

import os
import sys
from typing import Any, Protocol, TextIO

import msgspec


def _plain(value: Any) -> Any:
    """What a library made more of than it is: torch's version is a kind of str, NumPy's numbers kinds of float."""
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"an event cannot say {value!r}")


# A quarter of what the standard library takes for a step's numbers. Of a number that is none (NaN) it makes null.
_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class Reporter(Protocol):
    """Takes what happens, in order."""

    def report(self, event: str, **fields: Any) -> None: ...


class JsonLines:
    """Writes events to `stream`, each flushed at once so that a reader sees it while training goes on."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def give_back(self) -> None:
        """Standard output is again what it was before `take_standard_output`, for a program that takes our place."""
        self._stream.flush()
        os.dup2(self._stream.fileno(), 1)

    def report(self, event: str, **fields: Any) -> None:
        self._stream.write(_encode({"event": event, **fields}).decode() + "\n")
        self._stream.flush()


class Silent:
    """For a process that is not the one to speak."""

    def report(self, event: str, **fields: Any) -> None:
        pass


def take_standard_output() -> JsonLines:
    """Keeps standard output for events alone: whatever a library prints goes to standard error from here on."""
    events = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return JsonLines(os.fdopen(events, "w", encoding="utf-8"))
