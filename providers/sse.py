"""Streams cut into events and lines, wherever the network cut them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_EVENT = 4 * 1024 * 1024  # bytes


class TooLong(ValueError):
    """A line or an event that does not end."""


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event: its name (`""` if none was given) and its data."""

    name: str
    data: str


class Lines:
    """Bytes in, whole lines out; `\\n`, `\\r\\n` and `\\r` end a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> list[bytes]:
        text = self._rest + block
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # a \n may follow
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._rest = lines.pop() + held
        if len(self._rest) > LONGEST_EVENT:
            raise TooLong(f"a line of more than {LONGEST_EVENT} bytes")
        return lines

    def end(self) -> list[bytes]:
        """What was left without an end."""
        rest, self._rest = self._rest.removesuffix(b"\r"), b""
        return [rest] if rest else []


class Events:
    """Bytes in, whole events out, as https://html.spec.whatwg.org/multipage/server-sent-events.html reads them.

    Unlike there, an event that the end of the stream cuts off behind its last line counts: some servers leave out
    the last empty line.
    """

    def __init__(self) -> None:
        self._lines = Lines()
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._is_first = True

    def feed(self, block: bytes) -> list[Event]:
        return [event for line in self._lines.feed(block) if (event := self._take(line))]

    def end(self) -> list[Event]:
        found = [event for line in self._lines.end() if (event := self._take(line))]
        last = self._take(b"")
        return [*found, last] if last else found

    def _take(self, line: bytes) -> Event | None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._whole()
        name, _colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            if self._size > LONGEST_EVENT:
                raise TooLong(f"an event of more than {LONGEST_EVENT} bytes")
            self._data.append(value.decode(errors="replace"))
        elif name == b"event":
            self._name = value.decode(errors="replace")
        return None  # comments, ids and advice on reconnecting are not ours

    def _whole(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        return Event(name, "\n".join(data)) if data else None
