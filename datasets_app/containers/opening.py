"""From a source to a stream of UTF-8 text (or of Parquet): unpacked, recoded, and looked at first."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from datasets_app.faults import REFUSAL, WARNING
from datasets_app.formats.base import BadRow

from . import encodings, sniffing
from .base import Broken, Opened
from .compression import GzipStream, Unpackable, refuse_bomb
from .sources import Source

HEAD = 256 * 1024
TAIL = 64 * 1024


class Peeked:
    """A stream whose beginning was read already, from the start again."""

    def __init__(self, head: bytes, stream: Any) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if self._head:
            size = size if size > 0 else len(self._head)
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._stream.close()


def read_head(stream: Any) -> tuple[bytes, bool]:
    """(up to HEAD bytes of the beginning, whether that is all)."""
    pieces, size = [], 0
    while size <= HEAD:
        try:
            data = stream.read(HEAD + 1 - size)
        except Unpackable:
            if not pieces:
                raise
            return b"".join(pieces), False  # it is raised again by whoever reads on
        if not data:
            return b"".join(pieces), True
        pieces.append(data)
        size += len(data)
    return b"".join(pieces), False


@contextmanager
def opened(
    source: Source, name: str = "", format: str | None = None
) -> Iterator[tuple[Opened | None, list[Broken]]]:
    """(the file, remarks about it as a whole); no file when one of the remarks is a refusal.

    Raises OSError where the source cannot be read, Unpackable for a gzip file whose very beginning is damaged.
    """
    raw = source.open()
    try:
        remarks: list[Broken] = []
        yield _unwrapped(source, raw, name or source.name, format, remarks), remarks
    finally:
        raw.close()


def _unwrapped(
    source: Source, raw: BinaryIO, name: str, format: str | None, remarks: list[Broken]
) -> Opened | None:
    stream: Any = raw
    head, is_whole = read_head(stream)
    wrapped = sniffing.Wrapped()
    if head.startswith(sniffing.GZIP):
        wrapped = sniffing.Wrapped("gzip")
        stream = GzipStream(Peeked(head, stream))  # type: ignore[arg-type]
        head, is_whole = read_head(stream)
        # The reader may stop long before a bomb has grown, and would name a lesser fault.
        if stream.is_suspicious and not is_whole:
            with contextlib.closing(source.open()) as again:
                refuse_bomb(again)
        stream = Peeked(head, stream)
    elif source.is_seekable:
        stream.seek(0)
    else:
        stream = Peeked(head, stream)
    encoding = encodings.encoding_of(head)
    if encoding is None or encoding == "cp1252":  # the bytes of another encoding are no magic
        tail = _tail(source, wrapped) if head.startswith(sniffing.ZIP) else b""
        if refusal := sniffing.refusal_of(head, tail, is_whole, wrapped):
            remarks.append(Broken(None, refusal, REFUSAL))
            return None
    if head.startswith(b"PAR1"):
        return Opened(head, stream, is_whole, name, format)
    if encoding is not None:
        remarks.append(_other_encoding(encoding))
        stream = encodings.Recoded(stream, encoding)
        head, is_whole = read_head(stream)
        stream = Peeked(head, stream)
    elif head.startswith(encodings.UTF_8_MARK):
        stream.read(len(encodings.UTF_8_MARK))
        head = head[len(encodings.UTF_8_MARK) :]
    if refusal := sniffing.refusal_of_text(head, is_whole):
        remarks.append(Broken(None, refusal, REFUSAL))
        return None
    return Opened(head[:HEAD], stream, is_whole and len(head) <= HEAD, name, format)


def _tail(source: Source, wrapped: sniffing.Wrapped) -> bytes:
    if wrapped.name or not source.is_seekable or not source.size:
        return b""
    stream = source.open()
    try:
        stream.seek(max(0, source.size - TAIL))
        return stream.read(TAIL)
    finally:
        stream.close()


def _other_encoding(encoding: str) -> Broken:
    fault = BadRow(
        f"The text is in the encoding {encodings.WORDS[encoding]}, expected UTF-8. It was recognised and read.",
        "Look at the preview: if all letters are right, nothing is to be done.",
        code="other_encoding",
    )
    return Broken(None, fault, WARNING)
