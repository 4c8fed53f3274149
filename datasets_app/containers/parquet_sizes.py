"""How large rows of Parquet become as Python values, known before they are made: a few bytes of a file may stand for
gigabytes. Needs pyarrow, which is imported where it is first of use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

VALUE_BYTES = 64  # what a value takes beside its characters


@dataclass(frozen=True)
class Portion:
    """Some rows of a batch, in order: `count` of them, which take about `size` bytes as Python values. `values` is
    None for one row that takes more than was allowed."""

    count: int
    size: int
    values: Any


def portions_of(batch: Any, most: int) -> Iterator[Portion]:
    """The batch in slices of at most `most` bytes each; a row that takes more comes alone and without its values."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += sizes_of(column)
    start = 0
    while start < len(sizes):
        totals = np.cumsum(sizes[start:])
        count = max(1, int(np.searchsorted(totals, most, side="right")))
        size = int(totals[count - 1])
        yield Portion(count, size, batch.slice(start, count) if size <= most else None)
        start += count


def sizes_of(array: Any) -> np.ndarray:
    """About how many bytes each element takes as a Python value; int64."""
    import pyarrow as pa

    kind = array.type
    own = np.full(len(array), VALUE_BYTES, np.int64)
    if pa.types.is_dictionary(kind):
        known = np.append(sizes_of(array.dictionary), 0)  # the last one is that of nothing
        return own + known[array.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
    if pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            own += sizes_of(array.field(place))
        return own
    if pa.types.is_map(kind):
        totals = np.append(0, np.cumsum(sizes_of(array.keys) + sizes_of(array.items)))
        places = array.offsets.to_numpy(zero_copy_only=False)
        return own + totals[places[1:]] - totals[places[:-1]]
    if is_list(kind):
        # Where each list begins among all elements; a list that is null has none.
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        totals = np.append(0, np.cumsum(sizes_of(array.flatten())))
        ends = np.cumsum(lengths)
        return own + totals[ends] - totals[ends - lengths]
    if is_text(kind):
        return own + _lengths(array)
    return own


def _lengths(array: Any) -> np.ndarray:
    import pyarrow.compute

    lengths = pyarrow.compute.binary_length(array).fill_null(0)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64)


def is_list(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_text(kind: Any) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
