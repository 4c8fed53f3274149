"""Lines of a file in pieces of about a megabyte, however long a line is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from datasets_app.formats.base import BadRow

from . import base

PIECE = 1024 * 1024


@dataclass(frozen=True)
class Lines:
    """Complete lines (the last one of a file may lack its line break); `first` is the number of the first, from 1."""

    first: int
    data: bytes


@dataclass(frozen=True)
class LongLine:
    """A line of `size` bytes, beyond RECORD_BYTES_MOST; its bytes were let go, but for the beginning."""

    line: int
    size: int
    start: bytes

    def fault(self) -> BadRow:
        return BadRow(
            f"This line is {self.size:,} bytes long; at most {base.RECORD_BYTES_MOST:,} are read as one.",
            "Write one example a line, or split this one.",
            self.start[:60].decode("utf-8", "replace"),
            "line_too_long",
        )


def pieces_of(stream: BinaryIO, piece: int = PIECE) -> Iterator[Lines | LongLine]:
    """All lines of the stream, whole ones together. Memory holds one piece, or one line up to the limit."""
    number = 1
    rest: list[bytes] = []
    held = 0
    while data := stream.read(piece):
        cut = data.rfind(b"\n") + 1
        if not cut:
            rest.append(data)
            held += len(data)
            if held > base.RECORD_BYTES_MOST:
                start = b"".join(rest)[:100]
                size, data = _skip_line(stream, piece)
                yield LongLine(number, held + size, start)
                number += 1
                cut = data.rfind(b"\n") + 1
                rest, held = [data[cut:]], len(data) - cut
                if cut:
                    yield Lines(number, data[:cut])
                    number += data.count(b"\n")
            continue
        whole = b"".join([*rest, data[:cut]])
        rest, held = [data[cut:]], len(data) - cut
        yield Lines(number, whole)
        number += whole.count(b"\n")
    last = b"".join(rest)
    if last:
        yield Lines(number, last)


def _skip_line(stream: BinaryIO, piece: int) -> tuple[int, bytes]:
    """(bytes up to the next line break, what was read behind it)."""
    skipped = 0
    while data := stream.read(piece):
        cut = data.find(b"\n")
        if cut >= 0:
            return skipped + cut, data[cut + 1 :]
        skipped += len(data)
    return skipped, b""


def lines_of(piece: Lines) -> Iterator[tuple[int, bytes] | LongLine]:
    """(number, line without its line feed) of each line."""
    lines = piece.data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, piece.first):
        if len(line) > base.RECORD_BYTES_MOST:
            yield LongLine(number, len(line), line[:100])
        else:
            yield number, line


def each_line(stream: BinaryIO) -> Iterator[tuple[int, bytes] | LongLine]:
    """(number, line without its line feed) of each line of the stream."""
    for piece in pieces_of(stream):
        if isinstance(piece, LongLine):
            yield piece
        else:
            yield from lines_of(piece)
