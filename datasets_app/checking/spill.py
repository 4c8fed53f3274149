"""Records on disk, by bucket."""

import os
import tempfile

import numpy as np

from .grouping import RECORD

BUCKETS = 64
BUCKET_SHIFT = 64 - 6  # the first bits of what is asked choose the bucket
# A bucket with so many times the rows of the others holds the same question many times.
UNEVEN = 4


def buckets_of(rows: np.ndarray) -> np.ndarray:
    return (rows["asked"] >> np.uint64(BUCKET_SHIFT)).astype(np.uint8)


def is_uneven(rows: np.ndarray) -> bool:
    """Whether many rows ask the same, so that their bucket would outgrow the others."""
    counts = np.bincount(buckets_of(rows), minlength=BUCKETS)
    return bool(counts.max() > UNEVEN * (rows.size / BUCKETS + 1))


class Spill:
    """Records in a temporary file (24 bytes each), every write sorted into buckets."""

    def __init__(self) -> None:
        self._file = None
        self._writes: list[tuple[int, np.ndarray]] = []  # where it begins, and the start of each bucket in it
        self._end = 0

    @property
    def is_empty(self) -> bool:
        return not self._writes

    def write(self, rows: np.ndarray) -> None:
        """Raises OSError when the disk is full."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 – `close` closes it
        bucket = buckets_of(rows)
        order = np.argsort(bucket, kind="stable")
        # Records as rows of words: numpy moves those thirty times faster.
        words = np.ascontiguousarray(rows).view(np.uint64).reshape(rows.size, -1)
        left = memoryview(np.take(words, order, axis=0).reshape(-1).view(np.uint8))
        self._writes.append((self._end, np.searchsorted(bucket[order], np.arange(BUCKETS + 1))))
        self._end += left.nbytes
        while left:
            left = left[self._file.write(left) :]

    def part_count(self, bucket: int, most: int) -> int:
        """How many parts of about `most` rows a bucket has."""
        total = sum(int(starts[bucket + 1] - starts[bucket]) for _, starts in self._writes)
        return -(-total // most)

    def part(self, bucket: int, number: int, count: int) -> np.ndarray:
        """The records of part `number` (from 0) of so many; equal rows are in the same part."""
        pieces = [self._read(at, int(starts[bucket]), int(starts[bucket + 1])) for at, starts in self._writes]
        if count > 1:
            pieces = [piece[piece["row"] % np.uint64(count) == number] for piece in pieces]
        return np.concatenate(pieces)

    def _read(self, at: int, start: int, stop: int) -> np.ndarray:
        size = (stop - start) * RECORD.itemsize
        return np.frombuffer(os.pread(self._file.fileno(), size, at + start * RECORD.itemsize), RECORD)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
