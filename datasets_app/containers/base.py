"""What every container promises: records in the order of the file, or a piece that is none and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from datasets_app.faults import ERROR
from datasets_app.formats.base import BadRow

# The longest line or record that is read at once, in bytes; a longer one costs itself, never the memory.
RECORD_BYTES_MOST = 16 * 1024 * 1024


@dataclass(frozen=True)
class Found:
    """A record and where it is.

    `line` counts physical lines, records for JSON lists and rows for Parquet, each from 1; `place` says in words
    where that is in the file, when `line` does not. `key` is the conversation that stands around the record.
    `format` names the format when the container has settled it (typed dialogue). `remarks` are warnings.
    """

    line: int
    value: Any
    place: str = ""
    key: str | None = None
    format: str | None = None
    remarks: tuple[BadRow, ...] = ()


@dataclass(frozen=True)
class Broken:
    """A piece that gives no record. `severity` is ERROR, WARNING (nothing was left out) or REFUSAL (the whole file)."""

    line: int | None
    fault: BadRow
    severity: str = ERROR
    place: str = ""


@dataclass(frozen=True)
class Opened:
    """A file whose bytes have been unwrapped: `head` is its beginning, `stream` the whole of it, from the start.

    Both are UTF-8 (as far as text goes) without gzip around it; `is_whole` when `head` is all there is.
    `name` is the file's name for people, `format` what the person said it is.
    """

    head: bytes
    stream: BinaryIO
    is_whole: bool
    name: str = ""
    format: str | None = None


class Container(Protocol):
    """One type of file."""

    NAME: str

    def fits(self, opened: Opened) -> bool:
        """Whether the content is of this type; asked in the order of the registry."""

    def records(self, opened: Opened) -> Iterator[Found | Broken]:
        """What is in it, read once and in flat memory."""
