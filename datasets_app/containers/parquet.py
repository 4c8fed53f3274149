"""Parquet: rows in batches, numbered from 1."""

import tempfile
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from datasets_app.faults import REFUSAL
from datasets_app.formats.base import BadRow, excerpt

from . import base
from .base import Broken, Found, Opened
from .headers import JSON_COLUMNS, MESSAGE_COLUMNS, json_in

NAME = "parquet"
MAGIC = b"PAR1"
BATCH = 500
# What a file may declare: one group of rows is held at once while it is unpacked.
GROUP_BYTES_MOST = 1024 * 1024 * 1024
COLUMNS_MOST = 2000
# A Parquet file is read from its end, so one that only streams is kept on disk while it is read.
SPOOL_MOST = 8 * 1024 * 1024 * 1024
MEND = "Write it again (with pandas: df.to_parquet), or bring the examples as JSON Lines."


def fits(opened: Opened) -> bool:
    return opened.head.startswith(MAGIC)


def records(opened: Opened) -> Iterator[Found | Broken]:
    import pyarrow  # heavy, and most files are no Parquet
    import pyarrow.parquet

    # What a damaged file makes of the reader's own sums.
    damage = (
        pyarrow.ArrowException,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        MemoryError,
    )
    number = 0
    with tempfile.TemporaryFile() as spool:
        try:
            file = pyarrow.parquet.ParquetFile(_seekable(opened, spool), pre_buffer=False)
            if refusal := _refusal_of(file.metadata):
                yield refusal
                return
            for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                for record in batch.to_pylist():
                    number += 1
                    yield Found(number, plain(record), f"row {number}")
        except _TooLarge:
            fault = BadRow("This Parquet file is too large to be read.", MEND, code="too_large")
            yield Broken(None, fault, REFUSAL)
        except damage as problem:
            yield _damaged(number, problem)


def _damaged(number: int, problem: Exception) -> Broken:
    words = excerpt(str(problem).split("\n")[0], width=160) or type(problem).__name__
    if not number:
        fault = BadRow(f"This Parquet file is damaged or cut off: {words}", MEND, code="corrupt_parquet")
        return Broken(None, fault, REFUSAL)
    fault = BadRow(f"The file is damaged behind row {number}: {words}", MEND, code="corrupt_parquet")
    return Broken(number + 1, fault)


class _TooLarge(Exception):
    pass


def _seekable(opened: Opened, spool: Any) -> Any:
    if opened.stream.seekable():
        return opened.stream
    size = 0
    while data := opened.stream.read(1024 * 1024):
        size += len(data)
        if size > SPOOL_MOST:
            raise _TooLarge
        spool.write(data)
    spool.seek(0)
    return spool


def _refusal_of(metadata: Any) -> Broken | None:
    """A refusal of what the file declares, before anything is unpacked."""
    if metadata.num_columns > COLUMNS_MOST:
        fault = BadRow(
            f"It has {metadata.num_columns:,} columns.", "Bring the few that matter.", code="too_large"
        )
        return Broken(None, fault, REFUSAL)
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).total_byte_size
        if size > GROUP_BYTES_MOST:
            fault = BadRow(
                f"Row group {number + 1} says it holds {size:,} bytes; {GROUP_BYTES_MOST:,} are the most.",
                "Write it with smaller row groups (row_group_size=10000).",
                code="compression_bomb",
            )
            return Broken(None, fault, REFUSAL)
    return None


def plain(value: Any, depth: int = 0) -> Any:
    """A value of Arrow as one of JSON. Missing members of inner objects are left out, as Parquet gives every
    object every name; `content` stays, since a message without it is another thing."""
    if isinstance(value, dict):
        found = {}
        for name, item in value.items():
            if item is None and depth and name != "content":
                continue
            name = str(name)
            if isinstance(item, str) and not depth and (name in JSON_COLUMNS or name in MESSAGE_COLUMNS):
                inner = json_in(name, item) if item.lstrip()[:1] in ("[", "{") else None
                found[name] = item if inner is None else inner
            else:
                found[name] = plain(item, depth + 1)
        return found
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[: base.RECORD_BYTES_MOST]).decode("utf-8", "surrogateescape")
    if isinstance(value, (Decimal, date, datetime, time)):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)
