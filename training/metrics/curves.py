"""A long series as a curve of so many columns: the lowest and the highest point of each. No Django."""

import numpy as np

from training.metrics.packing import BUCKET, RANGE, extremes

MOST_COLUMNS = 960  # a curve of so many columns is below 60 kB of JSON, whatever its values


def reads_every_step(first: int, last: int) -> bool:
    """Whether so few steps are asked for that all are read; else summaries are."""
    return last - first < 128 * RANGE


def column_width(first: int, last: int, columns: int) -> int:
    """Steps of a column, so that at most `columns` of them hold `first` to `last`.

    Where summaries are read it is a multiple of `BUCKET`, so that they give the exact extremes of each column.
    """
    columns = max(1, min(columns, MOST_COLUMNS))
    width = max(1, -(-(last - first + 1) // columns))
    return width if reads_every_step(first, last) else -(-width // BUCKET) * BUCKET


def draw(steps: np.ndarray, values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest point of each column of `width` steps, with the first and the last of all.

    Columns begin at multiples of `width`; every point is one that was measured.
    """
    if width <= 1 or len(steps) < 3:
        return steps, values
    kept = extremes(steps // width, values)
    return steps[kept], values[kept]


def as_json(steps: np.ndarray, values: np.ndarray) -> dict:
    """`{"steps": [first, difference, …], "values": […]}`: half as long as pairs."""
    return {"steps": np.diff(steps, prepend=0).tolist(), "values": values.tolist()}
