"""A stream of chat lines, scanned: columns of what is perfect, and the lines that the careful reader must see."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from datasets_app.containers import base
from datasets_app.containers.lines import Lines, LongLine

from .flags import LOOK
from .library import LINES, PADDING, Batch, Library

CHUNK = 1024 * 1024
# A later line goes the careful way, as columns keep 32 bits of a line's number.
LAST_LINE = 2**32 - 1


@dataclass(frozen=True)
class Columns:
    """Perfect rows, one entry each, in the order of the file. Valid until the next item is asked for.

    `line` is the physical line from 1. `prompt` and `row` are digests of all messages but the last, and of all;
    `check` holds 30 more bits of the prompt's. `characters` counts code points by role.
    """

    line: np.ndarray
    prompt: np.ndarray
    row: np.ndarray
    check: np.ndarray
    turns: np.ndarray
    system: np.ndarray
    user: np.ndarray
    assistant: np.ndarray


@dataclass(frozen=True)
class Flagged:
    """A perfect line, counted in columns, whose texts are worth a look: `flags` say why."""

    line: int
    flags: int
    data: bytes


# How a scan goes on: the next line alone, unscanned; all lines unscanned; all lines scanned.
ONE_LINE, UNSCANNED, SCANNED = "one line", "unscanned", "scanned"


class Scan:
    """One pass over a stream. Flat memory: one chunk (or one line, up to RECORD_BYTES_MOST) and one batch.

    `mode` may be changed whenever an item has been given.
    """

    def __init__(self, library: Library, stream: BinaryIO, known: np.ndarray, mode: str = SCANNED) -> None:
        self.mode = mode
        self._library = library
        self._stream = stream
        self._readinto = getattr(stream, "readinto", None)
        self._unread = b""  # what a stream gave beyond what it was asked for
        self._known = known
        self._line = 1
        self._columns = {
            name: np.empty(LINES, kind)
            for name, kind in (
                ("prompt", "u8"), ("row", "u8"), ("check", "u4"), ("line", "u4"), ("turns", "u4"),
                ("system", "u4"), ("user", "u4"), ("assistant", "u4"),
                ("look_offset", "u8"), ("look_length", "u8"), ("look_line", "u4"), ("look_flags", "u4"),
            )
        }  # fmt: skip
        at = {name: column.ctypes.data for name, column in self._columns.items()}
        self._batch = Batch(
            **{name: where for name, where in at.items() if name not in ("system", "user", "assistant")},
            characters=(ctypes.c_void_p * 3)(at["system"], at["user"], at["assistant"]),
            capacity=LINES,
            look_capacity=LINES,
            known=known.ctypes.data,
            known_mask=known.size * 64 - 1,
        )
        self._make_room(self._first_size(), b"")

    def sample(self, below: int) -> None:
        """From the next piece on, flags about `below` of 2^32 lines as IN_SAMPLE."""
        self._batch.sample_below = below

    def __iter__(self) -> Iterator[Columns | Flagged | Lines | LongLine]:
        """Columns cover perfect lines; Flagged, Lines and LongLine come in the order of the file.

        What the stream raises is raised after all whole lines before it have been given.
        """
        is_last = False
        while not is_last:
            try:
                count = self._read()
            except Exception:
                yield from self._taken()
                raise
            is_last = not count
            self._held += count
            while self._held:
                before = self._line
                yield from self._scanned(is_last) if self.mode == SCANNED else self._unscanned(is_last)
                if self._line == before:
                    break
            if self._held == self._size:
                yield from self._grow()
        yield from self._taken()

    def _read(self) -> int:
        """Reads into the room that is left; the number of bytes, 0 at the end."""
        room = self._view[self._held : self._size]
        if self._readinto is not None and not self._unread:
            return self._readinto(room)
        data = self._unread or self._stream.read(len(room))
        data, self._unread = data[: len(room)], data[len(room) :]
        room[: len(data)] = data
        return len(data)

    def _scanned(self, is_last: bool) -> Iterator[Columns | Flagged | Lines]:
        """Scans the whole lines at hand, and moves what is left to the front."""
        if self._line + self._held > LAST_LINE:
            raise OverflowError(f"line {self._line:,} is beyond what can be counted")
        batch = self._batch
        self._library.scan(self._address, self._held, is_last, self._line, batch)
        for number in range(batch.look_count):
            offset, length, line, flags = (
                int(self._columns[name][number])
                for name in ("look_offset", "look_length", "look_line", "look_flags")
            )
            data = bytes(self._view[offset : offset + length])
            yield Lines(line, data) if flags & LOOK else Flagged(line, flags, data)
        batch.look_count = 0
        if batch.count == LINES:
            yield from self._taken()
        self._advance(batch.consumed, batch.lines)

    def _unscanned(self, is_last: bool) -> Iterator[Lines]:
        held = bytes(self._view[: self._held])
        at, lines = 0, 0
        while at < len(held) and self.mode != SCANNED:
            cut = (held.find(b"\n", at) if self.mode == ONE_LINE else held.rfind(b"\n", at)) + 1
            if not cut:
                if not is_last:
                    break
                cut = len(held)
            piece = Lines(self._line + lines, held[at:cut])
            lines += piece.data.count(b"\n") + (not piece.data.endswith(b"\n"))
            at = cut
            yield piece
        self._advance(at, lines)

    def _advance(self, consumed: int, lines: int) -> None:
        rest = self._held - consumed
        self._view[:rest] = self._view[consumed : self._held]
        self._held = rest
        self._line += lines

    def _taken(self) -> Iterator[Columns]:
        count = self._batch.count
        if count:
            columns = self._columns
            yield Columns(**{name: columns[name][:count] for name in Columns.__dataclass_fields__})
            self._batch.count = 0

    @staticmethod
    def _first_size() -> int:
        return min(CHUNK, base.RECORD_BYTES_MOST + 1)

    # --- lines longer than a chunk --------------------------------------------------------------------------
    def _make_room(self, size: int, held: bytes) -> None:
        self._memory = np.zeros(size + PADDING, np.uint8)
        self._scratch = np.empty(size + 2 * PADDING, np.uint8)
        self._batch.scratch = self._scratch.ctypes.data
        self._address = self._memory.ctypes.data
        self._view = memoryview(self._memory)
        self._view[: len(held)] = held
        self._size, self._held = size, len(held)

    def _grow(self) -> Iterator[LongLine]:
        """More room for a line that fills all there is; one beyond the limit is passed over."""
        if self._held <= base.RECORD_BYTES_MOST:
            size = min(4 * self._size, base.RECORD_BYTES_MOST + 1)
            self._make_room(size, bytes(self._view[: self._held]))
            return
        start, length = bytes(self._view[:100]), self._held
        while data := self._unread or self._stream.read(self._size):
            cut = data.find(b"\n")
            self._unread = data[cut + 1 :] if cut >= 0 else b""
            length += cut if cut >= 0 else len(data)
            if cut >= 0:
                break
        yield LongLine(self._line, length, start)
        self._line += 1
        self._make_room(self._first_size(), b"")
