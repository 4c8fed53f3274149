"""Indexes in memory as files, so that a process that starts need not find clusters and sort words anew.

A file is a copy of what rows say and never more: it names the pieces that it was made of, it is used only if exactly
these are in the rows still and its checksums are right, and it is overwritten and removed when pieces go. Whoever has
none makes the index of the rows. One a index, written whole under another name and then put in its place.
"""

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import xxhash
from django.conf import settings

logger = logging.getLogger(__name__)
FORMAT = 1  # of the file; with another one it is made anew
HEAD_BYTES = 4096
ENDING = ".index"
MEGABYTE = 1024 * 1024
Block = tuple[int, int, UUID]  # first number, count, document


@dataclass
class Kept:
    """What stands in a file: facts about it, and arrays by name."""

    seen: int
    removals: int
    facts: dict
    arrays: dict[str, np.ndarray]


def place_of(index_id) -> Path:
    return Path(settings.KNOWLEDGE_CACHE) / f"{index_id}{ENDING}"


def mark_of(blocks: Iterable[Block]) -> str:
    """Tells one set of blocks from every other: documents have ids that are never given twice."""
    words = "\n".join(f"{first} {count} {document}" for first, count, document in blocks)
    return hashlib.sha256(words.encode()).hexdigest()


def write(index_id, kept: Kept, blocks: Sequence[Block]) -> None:
    """Raises OSError where there is no room; then the file that was there stays."""
    parts, offset = [], HEAD_BYTES
    for name, array in kept.arrays.items():
        array = np.ascontiguousarray(array)
        parts.append([name, array.dtype.str, len(array), offset, xxhash.xxh3_64_hexdigest(array)])
        offset += array.nbytes
    head = {
        "format": FORMAT, "seen": kept.seen, "removals": kept.removals, "mark": mark_of(blocks),
        "facts": kept.facts, "parts": parts,
    }  # fmt: skip
    place = place_of(index_id)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=place.stem, delete=False) as file:
        try:
            file.write(json.dumps(head).encode().ljust(HEAD_BYTES))
            for array in kept.arrays.values():
                file.write(np.ascontiguousarray(array))
            file.flush()
            os.replace(file.name, place)
        except BaseException:
            os.unlink(file.name)
            raise


def head_of(index_id) -> dict | None:
    """What its file says of itself; None where there is none that can be read."""
    try:
        with open(place_of(index_id), "rb") as file:
            head = json.loads(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return None
    return head if isinstance(head, dict) and head.get("format") == FORMAT else None


def read(index_id, removals: int, blocks: Sequence[Block]) -> Kept | None:
    """What is kept, if it is of these blocks or the first of them, and whole; else None, and the file goes."""
    head = head_of(index_id)
    if head is None:
        return None
    place, seen = place_of(index_id), head["seen"]
    is_right = head["removals"] == removals and head["mark"] == mark_of(b for b in blocks if b[0] <= seen)
    arrays = {}
    try:
        for name, dtype, count, offset, checksum in head["parts"] if is_right else ():
            arrays[name] = np.fromfile(place, dtype, count, offset=offset)
            if xxhash.xxh3_64_hexdigest(arrays[name]) != checksum:
                logger.warning("%s is damaged; the index is made of the rows", place)
                is_right = False
                break
    except OSError as problem:
        logger.warning("%s cannot be read, the index is made of the rows: %s", place, problem)
        return None
    if not is_right:
        drop(index_id)
        return None
    return Kept(seen, removals, head["facts"], arrays)


def drop(index_id) -> None:
    """Removes its file, if there is one."""
    erase(place_of(index_id))


def erase(place: Path) -> None:
    """Overwrites a file and removes it: what was deleted must not be found on the disk either."""
    try:
        with open(place, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            for begin in range(0, size, MEGABYTE):
                file.write(bytes(min(MEGABYTE, size - begin)))
            file.flush()
            os.fsync(file.fileno())
        place.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as problem:
        logger.error("%s, a copy of an index that has gone, cannot be removed: %s", place, problem)


def all_kept() -> list[UUID]:
    """Ids of the indexes that have a file. What a killed writer left behind an hour ago is erased."""
    found = []
    for place in Path(settings.KNOWLEDGE_CACHE).glob("*"):
        if place.suffix == ENDING:
            found.append(UUID(place.stem))
        elif time.time() - place.stat().st_mtime > 3600:
            erase(place)
    return found
