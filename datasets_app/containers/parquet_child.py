"""`python -m datasets_app.containers.parquet_child`: reads one Parquet file for another process.

A damaged file can make the C++ below pyarrow abort, which ends the whole process: this one, and no other. It asks
for the bytes that it needs and says what it finds, both in frames: four bytes of length (big-endian), then JSON.

    it says                                   it is answered
    ["read", offset, size]                    a frame of that many bytes, or fewer at the end
    ["found", line, record, place]
    ["broken", line, problem, mend, code, found, severity]
    ["end"]

The first frame that it gets is the size of the file in bytes.
"""

import io
import json
import resource
import struct
import sys
from typing import Any, BinaryIO

from .base import Found
from .parquet_rows import rows_of

ADDRESS_SPACE = 6 * 1024**3  # bytes
READ_MOST = 4 * 1024 * 1024
LENGTH = struct.Struct(">I")


def write_frame(stream: BinaryIO, data: bytes) -> None:
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame, or None when the other side has ended."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def say(stream: BinaryIO, words: list[Any]) -> None:
    # Python's own JSON keeps what a faulty file may hold: halves of characters, NaN, numbers of any size.
    write_frame(stream, json.dumps(words).encode())


class Asked(io.RawIOBase):
    """The file as pyarrow wants it, each piece asked for."""

    def __init__(self, questions: BinaryIO, answers: BinaryIO) -> None:
        self._questions, self._answers = questions, answers
        self._size = int(read_frame(answers) or b"0")
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at) if size is None or size < 0 else size
        pieces = []
        while left:
            say(self._questions, ["read", self._at, min(left, READ_MOST)])
            self._questions.flush()
            piece = read_frame(self._answers)
            if piece is None:
                raise OSError("nobody answers any more")
            if not piece:
                break
            pieces.append(piece)
            self._at += len(piece)
            left -= len(piece)
        return b"".join(pieces)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    out = sys.stdout.buffer
    for each in rows_of(Asked(out, sys.stdin.buffer)):
        if isinstance(each, Found):
            say(out, ["found", each.line, each.value, each.place])
        else:
            fault = each.fault
            say(
                out,
                ["broken", each.line, fault.problem, fault.mend, fault.code, fault.found, each.severity],
            )
    say(out, ["end"])
    out.flush()


if __name__ == "__main__":
    main()
