"""Steps and their numbers as columns, and columns as bytes. No Django.

A *block* holds the steps of one range of step numbers, a *series* one number for each of them: `loss`, `tokens`, any
name. Doubles are kept bit for bit; NaN stands for unknown. The format is msgpack:

    {"v": 1, "n": count, "steps": first or uint32 bytes, "series": {name: float64 bytes or [places, float64 bytes]}}

where `steps` is one number if they follow each other without a gap, and a series that is known at fewer than half of
the steps comes with the uint16 places of those. All bytes are little-endian.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

VERSION = 1
RANGE = 1024  # step numbers of a sealed block
PIECE = 64  # step numbers of a piece of the range that still grows
BUCKET = 64  # step numbers of which a summary keeps the lowest and the highest
NOT_SERIES = {"event", "step", "eta_seconds", "eval_rows"}

# As they are listed wherever all are listed; others come behind them by name.
FIRST_SERIES = ["epoch", "loss", "eval_loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second"]
WHOLE_NUMBERS = {"tokens", "memory_bytes"}


class DamagedBlock(Exception):
    """Bytes that are no block of ours."""


@dataclass
class Columns:
    """Sorted step numbers without repeats, and for each series as many doubles, NaN where unknown."""

    steps: np.ndarray
    series: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> "Columns":
        return cls(np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, first: int, last: int) -> "Columns":
        """The steps from `first` to `last`, both included."""
        here = slice(*np.searchsorted(self.steps, [first, last + 1]))
        return Columns(self.steps[here], {name: values[here] for name, values in self.series.items()})

    def known(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of one series, where it is known."""
        values = self.series.get(name)
        if values is None:
            return np.empty(0, np.int64), np.empty(0)
        there = ~np.isnan(values)
        return (self.steps, values) if there.all() else (self.steps[there], values[there])

    def rows(self) -> list[dict]:
        """One dictionary a step, None where a number is unknown; counts are whole numbers."""
        listed: dict[str, list] = {"step": self.steps.tolist()}
        for name, values in self.series.items():
            listed[name] = plain(name, values)
        names = list(listed)
        return [dict(zip(names, row, strict=True)) for row in zip(*listed.values(), strict=True)]


def plain(name: str, values: np.ndarray) -> list:
    """Python numbers, None for NaN."""
    if name in WHOLE_NUMBERS:
        return [None if math.isnan(value) else int(value) for value in values.tolist()]
    return [None if math.isnan(value) else value for value in values.tolist()]


def ordered(names: Iterable[str]) -> list[str]:
    """Names of series in the order in which people meet them."""
    place = {name: index for index, name in enumerate(FIRST_SERIES)}
    return sorted(names, key=lambda name: (place.get(name, len(place)), name))


def finite(value) -> float:
    """A double; NaN for what is no finite number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else math.nan


def gather(events: Iterable[dict]) -> Columns:
    """Columns of events that each have a `step`, the last word about a step and series counting.

    Every other field that any of them has as a number is a series.
    """
    merged = Columns.empty()
    by_fields: dict[tuple, list[dict]] = {}
    for event in events:
        by_fields.setdefault(tuple(event), []).append(event)
    for names, alike in by_fields.items():
        by_step = {event["step"]: event for event in alike}
        steps = sorted(by_step)
        rows = [by_step[step] for step in steps]
        series = {}
        for name in names:
            if name not in NOT_SERIES:
                values = [row[name] for row in rows]
                if any(isinstance(value, (int, float)) for value in values) or name in FIRST_SERIES:
                    series[name] = doubles(values)
        merged = merge(merged, Columns(np.array(steps, np.int64), series))
    return merged


def doubles(values: list) -> np.ndarray:
    """Doubles of any values, NaN for all that is no finite number."""
    if set(map(type, values)) <= {float, int}:
        found = np.array(values, np.float64)
        found[~np.isfinite(found)] = np.nan
        return found
    return np.array([finite(value) for value in values], np.float64)


def merge(old: Columns, new: Columns, *, unknown_counts: bool = True) -> Columns:
    """Both; where both know of a step, each series that `new` has replaces that of `old`, unknown values too.

    Without `unknown_counts` they do not: columns of several kinds of events are unknown where only another kind spoke.
    """
    if not len(old):
        return new
    if not len(new):
        return old
    if new.steps[0] > old.steps[-1]:
        steps = np.concatenate([old.steps, new.steps])
        from_old, from_new = slice(0, len(old)), slice(len(old), None)
    else:
        steps = np.union1d(old.steps, new.steps)
        from_old, from_new = np.searchsorted(steps, old.steps), np.searchsorted(steps, new.steps)
    series = {}
    for name in {**old.series, **new.series}:
        values = np.full(len(steps), np.nan)
        if name in old.series:
            values[from_old] = old.series[name]
        if name in new.series:
            said = new.series[name]
            values[from_new] = said if unknown_counts else np.where(np.isnan(said), values[from_new], said)
        series[name] = values
    return Columns(steps, series)


def join(blocks: Iterable[Columns]) -> Columns:
    """Blocks that follow each other, as one."""
    parts = [block for block in blocks if len(block)]
    if len(parts) < 2:
        return parts[0] if parts else Columns.empty()
    names = dict.fromkeys(name for part in parts for name in part.series)
    return Columns(
        np.concatenate([part.steps for part in parts]),
        {
            name: np.concatenate([part.series.get(name, np.full(len(part), np.nan)) for part in parts])
            for name in names
        },
    )


def pack(columns: Columns) -> bytes:
    count = len(columns)
    steps: int | bytes = columns.steps.astype("<u4").tobytes()
    if count and columns.steps[-1] - columns.steps[0] + 1 == count:
        steps = int(columns.steps[0])
    series: dict[str, bytes | list[bytes]] = {}
    for name, values in columns.series.items():
        known = np.flatnonzero(~np.isnan(values))
        if not len(known):
            continue
        if len(known) * 2 < count:
            series[name] = [known.astype("<u2").tobytes(), values[known].astype("<f8").tobytes()]
        else:
            series[name] = values.astype("<f8").tobytes()
    return msgspec.msgpack.encode({"v": VERSION, "n": count, "steps": steps, "series": series})


def unpack(data: bytes) -> Columns:
    """The columns of a block; raises `DamagedBlock`."""
    try:
        found = msgspec.msgpack.decode(data)
        if found["v"] != VERSION:
            raise DamagedBlock(f"a block of metrics is of version {found['v']}; this Apex reads {VERSION}")
        count, steps = found["n"], found["steps"]
        numbers = (
            np.arange(steps, steps + count, dtype=np.int64)
            if isinstance(steps, int)
            else np.frombuffer(steps, "<u4").astype(np.int64)
        )
        series = {name: spread(count, kept) for name, kept in found["series"].items()}
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError) as problem:
        raise DamagedBlock(f"a block of metrics of {len(data)} bytes cannot be read: {problem}") from problem
    return Columns(numbers, series)


def spread(count: int, kept) -> np.ndarray:
    if isinstance(kept, bytes):
        return np.frombuffer(kept, "<f8", count)
    values = np.full(count, np.nan)
    values[np.frombuffer(kept[0], "<u2")] = np.frombuffer(kept[1], "<f8")
    return values


def summarise(columns: Columns) -> bytes:
    """What a curve needs of a block: of each series its first and last point and, of every `BUCKET` step numbers, the
    lowest and the highest. All points where there are few. msgpack: `{name: [uint16 places, float64 values]}`, places
    counted from the start of the range.
    """
    start = int(columns.steps[0]) // RANGE * RANGE if len(columns) else 0
    found = {}
    for name in columns.series:
        steps, values = columns.known(name)
        if not len(steps):
            continue
        if len(steps) > 2 * RANGE // BUCKET:
            kept = extremes(steps // BUCKET, values)
            steps, values = steps[kept], values[kept]
        found[name] = [(steps - start).astype("<u2").tobytes(), values.astype("<f8").tobytes()]
    return msgspec.msgpack.encode(found)


def extremes(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Places of the lowest and highest value of each group (sorted numbers), and of the first and last of all."""
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    sizes = np.diff(starts, append=len(groups))
    kept = [np.array([0, len(groups) - 1])]
    for of_group in (np.minimum, np.maximum):
        places = np.flatnonzero(values == np.repeat(of_group.reduceat(values, starts), sizes))
        kept.append(places[np.flatnonzero(np.diff(groups[places], prepend=groups[0] - 1))])
    return np.unique(np.concatenate(kept))


def spread_summary(start: int, summary: bytes, names: Iterable[str] | None = None) -> dict[str, tuple]:
    """`{series: (steps, values)}` of a summary whose range begins at `start`; raises `DamagedBlock`."""
    try:
        found = msgspec.msgpack.decode(summary)
        return {
            name: (
                np.frombuffer(found[name][0], "<u2") + np.int64(start),
                np.frombuffer(found[name][1], "<f8"),
            )
            for name in (found if names is None else names)
            if name in found
        }
    except (msgspec.DecodeError, IndexError, TypeError, ValueError) as problem:
        raise DamagedBlock(f"the summary of steps from {start} on cannot be read: {problem}") from problem
