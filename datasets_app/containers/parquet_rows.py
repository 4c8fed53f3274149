"""The rows of a Parquet file, read by pyarrow: in batches, numbered from 1. Runs in `parquet_child` only."""

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from datasets_app.faults import REFUSAL
from datasets_app.formats.base import BadRow, excerpt

from . import base, parquet_sizes
from .base import Broken, Found
from .compression import RATIO_COUNTS_FROM, RATIO_MOST
from .headers import JSON_COLUMNS, MESSAGE_COLUMNS, json_in

BATCH = 500
# What a file may declare: one group of rows is held at once while it is unpacked.
GROUP_BYTES_MOST = 1024 * 1024 * 1024
COLUMNS_MOST = 2000
VALUES_MOST = (
    50_000_000  # of one column in one group of rows; each takes some bytes, even where it says nothing
)
MEND = "Write it again (with pandas: df.to_parquet), or bring the examples as JSON Lines."


def rows_of(seekable: Any) -> Iterator[Found | Broken]:
    """The rows, or what is wrong with the file. `seekable` is a binary file object or a pyarrow one."""
    import pyarrow
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
    try:
        metadata = pyarrow.parquet.read_metadata(seekable)
        if refusal := _refusal_of(metadata):
            yield refusal
            return
        seekable.seek(0)
        # Texts stay references into the dictionary of their page: a page of a few bytes may say one long text
        # for each of a million rows.
        file = pyarrow.parquet.ParquetFile(seekable, pre_buffer=False, read_dictionary=_texts(metadata))
        for batch in file.iter_batches(batch_size=_batch(metadata), use_threads=False):
            for rows in parquet_sizes.portions_of(batch, base.RECORD_BYTES_MOST):
                number += rows.count
                if rows.values is None:
                    yield Broken(number, _too_long(rows.size))
                    continue
                for offset, record in enumerate(rows.values.to_pylist(), number - rows.count + 1):
                    yield Found(offset, plain(record), f"row {offset}")
    except damage as problem:
        yield damaged(number, excerpt(str(problem).split("\n")[0], width=160) or type(problem).__name__)


def _texts(metadata: Any) -> list[str]:
    """The paths of the columns of texts."""
    columns = (metadata.schema.column(number) for number in range(metadata.num_columns))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _batch(metadata: Any) -> int:
    """How many rows are unpacked at once: few, where they are large."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    mean = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    return max(1, min(BATCH, base.RECORD_BYTES_MOST // max(1, mean)))


def _too_long(size: int) -> BadRow:
    return BadRow(
        f"This row takes {size:,} bytes; at most {base.RECORD_BYTES_MOST:,} are read as one.",
        "Split it, or leave it out.",
        code="line_too_long",
    )


def damaged(number: int, words: str) -> Broken:
    """That the file cannot be read behind row `number` (0: at all)."""
    if not number:
        fault = BadRow(f"This Parquet file is damaged or cut off: {words}", MEND, code="corrupt_parquet")
        return Broken(None, fault, REFUSAL)
    fault = BadRow(f"The file is damaged behind row {number}: {words}", MEND, code="corrupt_parquet")
    return Broken(number + 1, fault)


def _refusal_of(metadata: Any) -> Broken | None:
    """A refusal of what the file declares, before anything is unpacked."""
    if metadata.num_columns > COLUMNS_MOST:
        fault = BadRow(
            f"It has {metadata.num_columns:,} columns.", "Bring the few that matter.", code="too_large"
        )
        return Broken(None, fault, REFUSAL)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        size, packed = group.total_byte_size, sum(column.total_compressed_size for column in columns)
        if size > GROUP_BYTES_MOST:
            return _bomb(
                f"Row group {number + 1} says it holds {size:,} bytes; {GROUP_BYTES_MOST:,} are the most."
            )
        if size > RATIO_COUNTS_FROM and size > RATIO_MOST * packed:
            return _bomb(f"Row group {number + 1} grows beyond measure: {packed:,} bytes give {size:,}.")
        values = max((column.num_values for column in columns), default=0)
        if values > VALUES_MOST:
            return _bomb(
                f"Row group {number + 1} says it holds {values:,} values; {VALUES_MOST:,} are the most."
            )
    return None


def _bomb(problem: str) -> Broken:
    mend = "Write it with smaller row groups (row_group_size=10000)."
    return Broken(None, BadRow(problem, mend, code="compression_bomb"), REFUSAL)


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
