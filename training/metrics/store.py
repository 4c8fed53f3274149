"""Writes and reads the metrics of jobs.

`MetricWriter.write` belongs into the transaction that proves the attempt's hold (`leases.hold`), which also keeps two
writers apart. By (job, step) the last word counts, wherever the step lies: none is there twice.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from training.metrics import curves
from training.metrics.packing import (
    PIECE,
    RANGE,
    Columns,
    join,
    merge,
    ordered,
    pack,
    spread_summary,
    summarise,
    unpack,
)
from training.models import MetricBlock

LAST = 2**31 - 1  # of a step, as databases keep it
READ_AT_ONCE = 16  # blocks
FIELDS = ["last_step", "count", "is_sealed", "summary", "data"]


class MetricWriter:
    """Adds steps to one job. Keeps the range that it is in in memory; after a failed transaction call `forget`."""

    def __init__(self, job_id):
        self.job_id = job_id
        self.forget()

    def forget(self) -> None:
        """Reads what is there from the database before the next step."""
        self.start: int | None = None
        self.end = -1  # highest step that is known to be there
        self.here = Columns.empty()
        self.is_sealed = False

    def write(self, columns: Columns) -> None:
        """Adds the steps, or puts them in place of their earlier selves. A number gives way only to a number."""
        if not len(columns):
            return
        rows: list[MetricBlock] = []
        for start in (np.unique(columns.steps // RANGE) * RANGE).tolist():
            if start != self.start:
                rows += self.turn_to(start)
            new = columns.between(start, start + RANGE - 1)
            self.here = merge(self.here, new, unknown_counts=False)
            self.end = max(self.end, int(new.steps[-1]))
            if self.is_sealed:
                rows.append(self.block(start, self.here, is_sealed=True))
                continue
            if columns.steps[-1] < start + RANGE:
                for piece in (np.unique(new.steps // PIECE) * PIECE).tolist():
                    rows.append(self.block(piece, self.here.between(piece, piece + PIECE - 1)))
        self.put(rows)

    def turn_to(self, start: int) -> list[MetricBlock]:
        """Takes up another range; returns the block of the one that it leaves, if no step of it is to come."""
        sealed = []
        if self.start is None:
            known = last_step(self.job_id)
            self.end = -1 if known is None else known
            self.seal_before(start)
        elif start > self.start and not self.is_sealed:
            self.drop_pieces(self.start)
            sealed = [self.block(self.start, self.here, is_sealed=True)]
        self.start, self.here, self.is_sealed = start, Columns.empty(), start + RANGE <= self.end
        if start <= self.end:
            found = list(rows_between(self.job_id, start, start + RANGE - 1))
            self.here = join(unpack(row.data) for row in found)
            self.is_sealed = self.is_sealed or any(row.is_sealed for row in found)
        return sealed

    def seal_before(self, step: int) -> None:
        """Ranges that an earlier writer left in pieces."""
        pieces = MetricBlock.objects.filter(job_id=self.job_id, is_sealed=False, first_step__lt=step)
        ranges: dict[int, list[Columns]] = {}
        for first, data in pieces.order_by("first_step").values_list("first_step", "data"):
            ranges.setdefault(first // RANGE * RANGE, []).append(unpack(data))
        for start, parts in ranges.items():
            self.drop_pieces(start)
            self.put([self.block(start, join(parts), is_sealed=True)])

    def drop_pieces(self, start: int) -> None:
        MetricBlock.objects.filter(
            job_id=self.job_id, first_step__gt=start, first_step__lt=start + RANGE
        ).delete()

    def block(self, first_step: int, columns: Columns, is_sealed: bool = False) -> MetricBlock:
        return MetricBlock(
            job_id=self.job_id,
            first_step=first_step,
            last_step=int(columns.steps[-1]),
            count=len(columns),
            is_sealed=is_sealed,
            summary=summarise(columns) if is_sealed else b"",
            data=pack(columns),
        )

    def put(self, rows: list[MetricBlock]) -> None:
        MetricBlock.objects.bulk_create(
            rows,
            batch_size=64,
            update_conflicts=True,
            unique_fields=["job", "first_step"],
            update_fields=FIELDS,
        )


def rows_between(job_id, first: int, last: int):
    """Blocks that may hold steps from `first` to `last`, in order."""
    return MetricBlock.objects.filter(
        job_id=job_id, first_step__gte=first // RANGE * RANGE, first_step__lte=last, last_step__gte=first
    ).order_by("first_step")


def last_step(job_id) -> int | None:
    """The highest step of which anything is known."""
    rows = MetricBlock.objects.filter(job_id=job_id).order_by("-first_step")
    return rows.values_list("last_step", flat=True).first()


def read_blocks(job, first: int = 0, last: int = LAST) -> Iterator[Columns]:
    """Every step from `first` to `last`, a block at a time, in order, each once, also while more are written."""
    while chunk := list(rows_between(job.pk, first, last).values_list("data", flat=True)[:READ_AT_ONCE]):
        for data in chunk:
            block = unpack(data)
            part = block.between(first, last)
            if len(part):
                yield part
            first = max(first, int(block.steps[-1]) + 1)


def series_names(job) -> list[str]:
    """Names of all series of which a number is known, in the order in which people meet them."""
    names: dict[str, None] = {}
    for points in outlines(job.pk, 0, LAST):
        names.update(dict.fromkeys(points))
    return ordered(names)


def names_at_its_ends(job) -> set[str]:
    """Names of the series that its first and its newest block know: quick, however long the training is."""
    rows = MetricBlock.objects.filter(job=job).values_list("data", flat=True)
    found = [unpack(data) for data in [*rows.order_by("first_step")[:1], *rows.order_by("-first_step")[:2]]]
    return {name for block in found for name in block.series}


def names_at_the_start(jobs) -> set[str]:
    """Names of the series that the first block of any of these jobs knows, in one query."""
    rows = MetricBlock.objects.filter(job__in=jobs, first_step=0).values_list("data", flat=True)
    return {name for data in rows for name in unpack(data).series}


def outlines(
    job_id, first: int, last: int, names: Sequence[str] | None = None
) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """`{series: (steps, values)}` a block, of `names` or all: its summary, or all points while its range grows."""
    rows = rows_between(job_id, first, last)
    for start, summary in rows.filter(is_sealed=True).values_list("first_step", "summary"):
        yield spread_summary(start, summary, names)
    for data in rows.filter(is_sealed=False).values_list("data", flat=True):
        block = unpack(data)
        found = {name: block.known(name) for name in names or block.series}
        yield {name: points for name, points in found.items() if len(points[0])}


def outline(job, names: Sequence[str], first: int = 0, last: int = LAST) -> dict[str, tuple]:
    """`{series: (steps, values)}` of a job: all points where there are few, else the lowest and highest of each
    `BUCKET` steps, with some more, in order."""
    parts: dict[str, list] = {name: [] for name in names}
    for points in outlines(job.pk, first, last, names):
        for name in names:
            if name in points:
                parts[name].append(points[name])
    return {name: chain(found) for name, found in parts.items()}


def chain(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    parts = sorted(parts, key=lambda part: part[0][0])
    if not parts:
        return np.empty(0, np.int64), np.empty(0)
    return np.concatenate([steps for steps, _ in parts]), np.concatenate([values for _, values in parts])


def read_curves(job, names: Sequence[str], columns: int, first: int = 0, last: int | None = None) -> dict:
    """`{"first", "last", "column", "series": {name: (steps, values)}}`: the extremes of at most `columns` columns.

    `column`: steps of each, which begin at its multiples. Nothing is smoothed or rounded; a series that is known at
    no step of the range is left out.
    """
    end = last_step(job.pk)
    first, last = max(0, first), min(end or 0, LAST if last is None else last)
    if end is None or last < first:
        return {"first": first, "last": last, "column": 1, "series": {}}
    width = curves.column_width(first, last, columns)
    if curves.reads_every_step(first, last):
        whole = join(read_blocks(job, first, last))
        found = {name: whole.known(name) for name in names}
    else:
        # Whole columns: what a summary says of 64 steps is not to be cut in the middle.
        first, last = first // width * width, min(end or 0, (last // width + 1) * width - 1)
        found = {name: cut(points, first, last) for name, points in outline(job, names, first, last).items()}
    drawn = {name: curves.draw(*points, width) for name, points in found.items() if len(points[0])}
    return {"first": first, "last": last, "column": width, "series": drawn}


def cut(points: tuple[np.ndarray, np.ndarray], first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    steps, values = points
    here = slice(*np.searchsorted(steps, [first, last + 1]))
    return steps[here], values[here]


class StoredSteps(Sequence):
    """The steps of a job as a list of dictionaries, of which only the asked part is read: for pages of an API."""

    def __init__(self, job):
        self.job = job
        self.index = list(
            MetricBlock.objects.filter(job=job).order_by("first_step").values_list("pk", "count")
        )
        self.ends = np.cumsum([count for _, count in self.index])

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.index else 0

    def __getitem__(self, place):
        if not isinstance(place, slice):
            return self[place : place + 1][0]
        first, last, _ = place.indices(len(self))
        if first >= last:
            return []
        begin, end = np.searchsorted(self.ends, [first, last - 1], side="right").tolist()
        wanted = [pk for pk, _ in self.index[begin : end + 1]]
        blocks = MetricBlock.objects.filter(pk__in=wanted).order_by("first_step")
        rows = join(unpack(data) for data in blocks.values_list("data", flat=True)).rows()
        before = int(self.ends[begin - 1]) if begin else 0
        return rows[first - before : last - before]
