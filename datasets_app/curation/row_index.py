"""Where each row of a stored file begins, and what its key begins with: made once for a file, 16 bytes a row.

With it any row is read without those before it, and rows are chosen by what was said of them, at any size.
"""

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from apex.common import files

from .row_keys import row_key

# `key` is the first eight bytes of the row's key: enough to choose by; the whole key is looked at before anything
# is written.
ENTRY = np.dtype([("offset", "<u8"), ("key", "<u8")])


def short_key(key: str) -> int:
    """What the index keeps of a row's key."""
    return int(key[:16], 16)


def short_keys(keys: Iterable[str]) -> np.ndarray:
    return np.fromiter((short_key(key) for key in keys), dtype="<u8")


class RowIndex:
    """The rows of one stored file, by number from 0."""

    def __init__(self, sha256: str) -> None:
        self.path = files.local_path(sha256)
        self.entries = _load_or_build(sha256, self.path)

    def __len__(self) -> int:
        return len(self.entries)

    def iterate(self, numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
        """The rows of these numbers, in this order, one at a time."""
        with open(self.path, "rb") as file:
            for number in numbers:
                file.seek(int(self.entries["offset"][number]))
                yield msgspec.json.decode(file.readline())

    def rows_at(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        return list(self.iterate(numbers))

    def has_any(self, keys: Iterable[str]) -> np.ndarray:
        """For each row, whether its key is one of `keys`."""
        return np.isin(self.entries["key"], short_keys(keys))

    def number_of(self, key: str) -> int | None:
        """The first row with this key, or None."""
        for number in np.flatnonzero(self.entries["key"] == short_key(key)).tolist():
            if row_key(self.rows_at([number])[0]) == key:
                return number
        return None


def _load_or_build(sha256: str, path: Path) -> np.ndarray:
    kept = files.derived_path(sha256, "rows.npy")
    if not kept.exists():
        entries = _build(path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Two may build it at once: each writes aside, and the last one counts.
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            np.save(file, entries)
        os.replace(file.name, kept)
        return entries
    return np.load(kept, mmap_mode="r")


def _build(path: Path) -> np.ndarray:
    offsets, keys, at = array("Q"), array("Q"), 0
    with open(path, "rb") as file:
        for line in file:
            offsets.append(at)
            keys.append(short_key(row_key(msgspec.json.decode(line))))
            at += len(line)
    entries = np.empty(len(offsets), ENTRY)
    entries["offset"], entries["key"] = offsets, keys
    return entries
