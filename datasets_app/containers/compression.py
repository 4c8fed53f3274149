"""gzip, unpacked as it is read: with a measure, and with words for what is wrong."""

import zlib
from typing import BinaryIO

from datasets_app.formats.base import BadRow

PACKED_PIECE = 64 * 1024
# Text packs to a third, very even text to a hundredth; zeros to a thousandth.
RATIO_MOST = 250
RATIO_COUNTS_FROM = 64 * 1024 * 1024
UNPACKED_MOST = 64 * 1024 * 1024 * 1024
GZIP_WINDOW = 31  # zlib's word for: with gzip's header and check sum


class Unpackable(Exception):
    """The packed bytes cannot be read further. `is_refused`: nothing that came of them is to be used."""

    def __init__(self, fault: BadRow, is_refused: bool = False) -> None:
        super().__init__(fault.problem)
        self.fault = fault
        self.is_refused = is_refused


def refuse_bomb(stream: BinaryIO) -> None:
    """Reads a packed stream as far as it takes to tell a bomb from text that packs well. Raises Unpackable for a
    bomb; whatever else is wrong, the reader finds."""
    packed = GzipStream(stream)
    left = RATIO_COUNTS_FROM
    try:
        while left >= 0 and (data := packed.read(PACKED_PIECE)):
            left -= len(data)
    except Unpackable as problem:
        if problem.is_refused:
            raise


class GzipStream:
    """The unpacked bytes of a gzip file of one or several members. `read` raises Unpackable, after all that could
    be unpacked has been given."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._member = zlib.decompressobj(GZIP_WINDOW)
        self._packed = b""
        self._taken = self._given = 0
        self._is_done = False
        self._fault: Unpackable | None = None

    def read(self, size: int = -1) -> bytes:
        size = size if size > 0 else PACKED_PIECE
        while not self._is_done and self._fault is None:
            data = self._next(size)
            if data:
                self._given += len(data)
                self._measure()
                return data
        if self._fault:
            raise self._fault
        return b""

    def _next(self, size: int) -> bytes:
        if self._member.eof:
            self._next_member()
            return b""
        if not self._packed:
            self._packed = self._take()
            if not self._packed:
                fault = BadRow(
                    "The gzip file ends too early: it was cut off.",
                    "Bring it again; what came before its end was read.",
                    code="corrupt_compression",
                )
                self._fault = Unpackable(fault)
                return b""
        try:
            data = self._member.decompress(self._packed, size)
        except zlib.error as problem:
            fault = BadRow(
                f"The gzip file is damaged ({problem}).",
                "Pack it again; what came before the damage was read.",
                code="corrupt_compression",
            )
            self._fault = Unpackable(fault)
            return b""
        self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return data

    def _next_member(self) -> None:
        """Another member, zeros that fill a block, or the end."""
        self._packed = self._packed.lstrip(b"\x00")
        if len(self._packed) < 2:
            more = self._take()
            self._packed = (self._packed + more).lstrip(b"\x00") if more else self._packed
            if not more:
                self._is_done = True
        if self._packed and (not self._packed.startswith(b"\x1f\x8b"[: len(self._packed)])):
            fault = BadRow(
                "Something that is not gzip follows behind the packed data.",
                "Pack the file again; what came before was read.",
                code="corrupt_compression",
            )
            self._fault = Unpackable(fault)
        elif len(self._packed) >= 2:
            self._member = zlib.decompressobj(GZIP_WINDOW)

    def _take(self) -> bytes:
        data = self._stream.read(PACKED_PIECE)
        self._taken += len(data)
        return data

    def _measure(self) -> None:
        is_bomb = self._given > RATIO_COUNTS_FROM and self._given > RATIO_MOST * self._taken
        if is_bomb or self._given > UNPACKED_MOST:
            fault = BadRow(
                f"The gzip file grows beyond measure: {self._taken:,} bytes gave more than {self._given:,}.",
                "Bring it unpacked, if these really are examples.",
                code="compression_bomb",
            )
            self._fault = Unpackable(fault, is_refused=True)
            raise self._fault

    @property
    def is_suspicious(self) -> bool:
        """Whether what was given so far is far more than the packed bytes that were used up for it."""
        return self._given > RATIO_MOST * (self._taken - len(self._packed))

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._stream.close()
