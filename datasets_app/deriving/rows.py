"""Rows on their way into a new version: where they come from, what they hold, and how they are written."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from datasets_app.curation.row_keys import content_of, kind_of_content
from datasets_app.splitting import HELD_OUT, TRAIN

Row = dict[str, Any]
SPLITS = (TRAIN, HELD_OUT)
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class BadRows(ValueError):
    """The rows that came cannot make a version; `str()` names the row and what is wrong with it."""


@dataclass
class Written:
    """What `write_rows` wrote. `mixed` are hashes of conversations that came in both splits."""

    train_count: int = 0
    held_out_count: int = 0
    learned: set[int] = field(default_factory=set)
    held_out: set[int] = field(default_factory=set)
    digest: str = ""

    @property
    def row_count(self) -> int:
        return self.train_count + self.held_out_count

    @property
    def mixed(self) -> set[int]:
        return self.learned & self.held_out

    @property
    def conversation_count(self) -> int:
        return len(self.learned | self.held_out)


def with_origin(rows: Iterable[Row], version_id: Any) -> Iterator[Row]:
    """The rows of a version, each with where it first stood: `{"version", "row"}` of the version that was brought."""
    version = str(version_id)
    for number, row in enumerate(rows):
        yield row if "origin" in row else {**row, "origin": {"version": version, "row": number}}


def write_rows(rows: Iterable[Row], target: Path) -> Written:
    """Writes rows that are `verified` to `target`, one JSON object a line, and counts them.

    A conversation that comes in both splits is kept aside whole: what is tested must not have been learned.
    Memory holds one row and one number a conversation.
    """
    written = _write(rows, target, set())
    if not written.mixed:
        return written
    first = target.with_name(target.name + ".first")
    target.rename(first)
    written = _write(read_rows(first), target, written.mixed)
    first.unlink()
    return written


def _write(rows: Iterable[Row], target: Path, kept_aside: set[int]) -> Written:
    written, digest = Written(), hashlib.sha256()
    with open(target, "wb") as file:
        for row in rows:
            key = number_of(row["conversation"])
            if key in kept_aside:
                row = {**row, "split": HELD_OUT}
            is_learned = row["split"] == TRAIN
            (written.learned if is_learned else written.held_out).add(key)
            written.train_count += is_learned
            written.held_out_count += not is_learned
            file.write(_encode(row) + b"\n")
            digest.update(identity(row))
    written.digest = digest.hexdigest()
    return written


def verified(rows: Iterable[Row], kind: str) -> Iterator[Row]:
    """The rows, each looked at: of the version's kind, with a conversation and a split. Raises BadRows."""
    for number, row in enumerate(rows, 1):
        try:
            found = kind_of_content(row)
        except ValueError as problem:
            raise BadRows(f"Row {number}: {problem}") from problem
        if found != kind:
            raise BadRows(
                f"Row {number} is of the kind “{found}”, expected “{kind}” as in the version it comes from."
            )
        if row.get("split") not in SPLITS:
            raise BadRows(f"Row {number} has the split {row.get('split')!r}, expected “train” or “held_out”.")
        conversation = row.get("conversation")
        if not isinstance(conversation, str) or not conversation:
            raise BadRows(f"Row {number} has the conversation {conversation!r}, expected a text.")
        yield row


def number_of(key: str) -> int:
    """64 bits for a key, in place of the key itself."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def identity(row: Row) -> bytes:
    """What makes a row this row in this place: content, conversation and split, but not where it came from."""
    return _encode_sorted([content_of(row), row["conversation"], row["split"]])


def digest_of(rows: Iterable[Row]) -> str:
    """What `write_rows` gives as `digest` for the same rows."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(identity(row))
    return digest.hexdigest()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a rows file."""
    with open(path, "rb") as file:
        for line in file:
            yield msgspec.json.decode(line)
