"""Each row of a stored file as 33 bytes: enough to tell how two files differ, without reading them again."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from datasets_app.curation.row_keys import row_key
from datasets_app.splitting import HELD_OUT

from .filters import characters_of, messages_of
from .rows import number_of

# content: what the row says; root and row: where it first stood (0: here); place: conversation and which of its rows.
ENTRY = np.dtype(
    [("offset", "<u8"), ("content", "<u8"), ("root", "<u8"), ("place", "<u8"), ("row", "<u4"), ("characters", "<u4"),
     ("held_out", "?")]
)  # fmt: skip
BATCH = 4096


class Fingerprints:
    """The rows of one version, by number from 0. `roles` counts messages by role."""

    def __init__(self, path: Path, kept: Path, version_id: UUID) -> None:
        """`path` is the rows file; `kept` is where the fingerprints lie, or are put."""
        self.path = path
        if not kept.exists():
            _write(path, kept)
        with open(kept, "rb") as file:
            self.roles: dict[str, int] = msgspec.json.decode(file.readline())
            self.entries = np.frombuffer(file.read(), ENTRY).copy()
        # A row without an origin was brought with this very version.
        own = self.entries["root"] == 0
        self.entries["root"][own] = number_of(str(version_id))
        self.entries["row"][own] = np.flatnonzero(own)

    def __len__(self) -> int:
        return len(self.entries)

    def rows_at(self, numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
        with open(self.path, "rb") as file:
            for number in numbers:
                file.seek(int(self.entries["offset"][number]))
                yield msgspec.json.decode(file.readline())


def _write(path: Path, kept: Path) -> None:
    """Two may do it at once: each writes aside, and the last one counts."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    roles: Counter[str] = Counter()
    with tempfile.TemporaryFile() as entries:
        for batch in _batches(path, roles):
            entries.write(np.array(batch, ENTRY).tobytes())
        entries.seek(0)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            file.write(msgspec.json.encode(dict(sorted(roles.items()))) + b"\n")
            while chunk := entries.read(1 << 20):
                file.write(chunk)
    os.replace(file.name, kept)


def _batches(path: Path, roles: Counter[str]) -> Iterator[list[tuple]]:
    seen: Counter[int] = Counter()  # rows of each conversation so far
    batch, offset = [], 0
    with open(path, "rb") as file:
        for line in file:
            row = msgspec.json.decode(line)
            conversation = number_of(row["conversation"])
            seen[conversation] += 1
            roles.update(message["role"] for message in messages_of(row))
            origin = row.get("origin") or {}
            root = number_of(origin["version"]) if origin else 0
            batch.append(
                (offset, int(row_key(row)[:16], 16), root, number_of(f"{conversation} {seen[conversation]}"),
                 origin.get("row", 0), min(characters_of(row), 2**32 - 1), row["split"] == HELD_OUT)
            )  # fmt: skip
            offset += len(line)
            if len(batch) == BATCH:
                yield batch
                batch = []
    yield batch
