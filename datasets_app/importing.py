"""From a file as it came to the chat rows that everything else reads. No Django inside."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .checking import checks_for
from .containers.sources import Watched
from .reading import ROWS_MOST, Reading, read_examples
from .splitting import HELD_OUT, TRAIN, Conversation, choose_held_out


@dataclass(frozen=True)
class Imported:
    """What was made of a file: the counts of the rows written, and the reading with its faults."""

    reading: Reading
    source_sha256: str
    train_count: int = 0
    held_out_count: int = 0
    conversation_count: int = 0
    held_out_conversation_count: int = 0

    @property
    def row_count(self) -> int:
        return self.train_count + self.held_out_count


def import_rows(
    source: Path,
    target: Path,
    file_name: str = "",
    *,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    keep_good_rows: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> Imported:
    """Writes the rows of `source` to `target`, one JSON object a line, each with its split.

    Rows go by way of a temporary file, so memory holds one row and one entry a conversation. When the
    reading has a `refusal`, `target` is not written. Rows with errors are left out; without `keep_good_rows` one
    of them refuses the file. `on_progress` is told the share that has been read, 0 to 1.
    """
    with open(source, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    watched = Watched(source, file_name, on_progress) if on_progress else source
    checks = checks_for(source.stat().st_size, file_name)
    reading = read_examples(
        watched, file_name, format=format, mapping=mapping, checks=checks, rows_most=ROWS_MOST
    )
    conversations: dict[str, Conversation] = {}
    encoder = msgspec.json.Encoder()
    with tempfile.TemporaryFile(dir=target.parent) as unsplit:
        for row in reading:
            conversations.setdefault(row["conversation"], Conversation()).add(row.pop("split"))
            unsplit.write(encoder.encode(row) + b"\n")
        if reading.left_out and not keep_good_rows:
            reading.refuse_for_bad_rows()
        if reading.refusal is not None:
            return Imported(reading, sha256)
        held_out = choose_held_out(conversations, sha256)
        unsplit.seek(0)
        with open(target, "wb") as rows:
            for line in unsplit:
                rows.write(_with_split(line, held_out))
    held_out_rows = sum(conversations[key].rows for key in held_out)
    return Imported(
        reading,
        sha256,
        train_count=reading.row_count - held_out_rows,
        held_out_count=held_out_rows,
        conversation_count=len(conversations),
        held_out_conversation_count=len(held_out),
    )


class _Key(msgspec.Struct):
    conversation: str


_read_key = msgspec.json.Decoder(_Key).decode


def _with_split(line: bytes, held_out: set[str]) -> bytes:
    split = HELD_OUT if held_out and _read_key(line).conversation in held_out else TRAIN
    return line[: line.rindex(b"}")] + b',"split":"' + split.encode() + b'"}\n'


def iterate_rows(path: Path, start: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
    """The stored chat rows number `start` (from 0) up to, but not including, `stop`."""
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if stop is not None and number >= stop:
                return
            if number >= start:
                yield msgspec.json.decode(line)
