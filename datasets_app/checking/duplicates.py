"""Rows that are the same, that contradict each other, or that stand on both sides of the split.

Each row is 24 bytes here, whatever its length. Beyond ROWS_IN_MEMORY they lie in a temporary file, sorted into
BUCKETS by digest, and each bucket is looked at by itself in the end: memory stays the same for any file.
128 bits decide that two rows are the same, 94 that they ask the same.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from datasets_app.faults import WARNING, Fault

from .digests import CHECK_BITS, digests_of
from .grouping import RECORD, asked_twice, contradictions, overlaps, repeated, telling
from .spill import BUCKETS, Spill, is_uneven

if TYPE_CHECKING:
    from datasets_app.scanning.lines import Columns

ROWS_IN_MEMORY = 1 << 18
# Of each kind so many are named, those that come first in the file; all are counted.
NAMED = 2_000
SPLITS = {None: 0, "train": 1, "held_out": 2}

SAME = ("exact_duplicate", "It is the same as line {other}.",
        "Leave out one of the two: what is there twice is learned twice.")  # fmt: skip
CONTRADICTS = ("contradiction", "It asks the same as line {other} and answers differently.",
               "Keep the better answer, unless the variety is wanted.")  # fmt: skip
OVERLAPS = ("split_overlap", "It is held out, and line {other}, which is learned from, asks the same.",
            "Keep both on the same side: a test question that was learned proves nothing.")  # fmt: skip


class Duplicates:
    """The check: a warning for each row that repeats an earlier one, and for each question that is answered
    differently or stands on both sides of the split. `rows_in_memory` bounds memory (about 100 bytes each)."""

    def __init__(self, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self._records = np.empty(rows_in_memory, RECORD)
        self._count = 0
        self._spill = Spill()
        self._same = Pairs()
        self._contradicting = Pairs()
        self._overlapping = Pairs()

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        found = digests_of(row, kind)
        if self._count == self._records.size:
            self._make_room()
        check = found.check | SPLITS[row.get("split")] << CHECK_BITS
        self._records[self._count] = (found.asked, found.row, check, row["line"])
        self._count += 1
        yield from ()

    def see_many(self, columns: "Columns") -> None:
        """Rows as the scanner's columns; they name no split."""
        start = 0
        while start < columns.line.size:
            if self._count == self._records.size:
                self._make_room()
            stop = min(columns.line.size, start + self._records.size - self._count)
            target = self._records[self._count : self._count + stop - start]
            target["asked"] = columns.prompt[start:stop]
            target["row"] = columns.row[start:stop]
            target["check"] = columns.check[start:stop]
            target["line"] = columns.line[start:stop]
            self._count += stop - start
            start = stop

    def _make_room(self) -> None:
        """Puts the rows at hand aside; where many are the same, without those that repeat one of them on the same
        side of the split."""
        rows = self._records[: self._count]
        if is_uneven(rows):
            places, firsts = repeated(rows, by_split=True)
            self._same.add(rows["line"][places], firsts)
            rows = np.delete(rows, places)
        self._spill.write(rows)
        self._count = 0

    def finish(self) -> Iterator[Fault]:
        if self._spill.is_empty:
            self._compare(asked_twice(self._records[: self._count]))
        else:
            self._make_room()
            for bucket in range(BUCKETS):
                self._compare_bucket(bucket)
        self._spill.close()
        yield from self._same.faults(SAME, "examples repeat an earlier one")
        yield from self._contradicting.faults(CONTRADICTS, "questions have different answers")
        yield from self._overlapping.faults(OVERLAPS, "questions are both learned from and held out")

    def _compare_bucket(self, bucket: int) -> None:
        count = self._spill.part_count(bucket, self._records.size)
        kept = np.empty(0, RECORD)
        for number in range(count):
            rows = self._spill.part(bucket, number, count)
            if count == 1:
                self._compare(asked_twice(rows))
                return
            # Equal rows are in one part, equal questions need not be.
            self._name_repeated(rows)
            kept = telling(np.concatenate([kept, rows]))
        self._name_questions(kept)

    def _compare(self, rows: np.ndarray) -> None:
        if rows.size:
            self._name_repeated(rows)
            self._name_questions(rows)

    def _name_repeated(self, rows: np.ndarray) -> None:
        places, firsts = repeated(rows)
        self._same.add(rows["line"][places], firsts)

    def _name_questions(self, rows: np.ndarray) -> None:
        self._contradicting.add(*contradictions(rows))
        self._overlapping.add(*overlaps(rows))

    def summary(self) -> dict[str, Any]:
        counts = {
            "exact": self._same.count,
            "contradictions": self._contradicting.count,
            "split_overlap": self._overlapping.count,
        }
        return (
            {"duplicates": {name: count for name, count in counts.items() if count}}
            if any(counts.values())
            else {}
        )


class Pairs:
    """Lines and the line that each of them is compared to; the NAMED first are kept, all are counted."""

    def __init__(self) -> None:
        self.count = 0
        self._lines = np.empty(0, np.uint32)
        self._others = np.empty(0, np.uint32)

    def add(self, lines: np.ndarray, others: np.ndarray) -> None:
        if not lines.size:
            return
        self.count += lines.size
        lines, others = np.concatenate([self._lines, lines]), np.concatenate([self._others, others])
        order = np.argsort(lines, kind="stable")[:NAMED]
        self._lines, self._others = lines[order], others[order]

    def faults(self, words: tuple[str, str, str], all_of_them: str) -> Iterator[Fault]:
        code, problem, mend = words
        for line, other in zip(self._lines.tolist(), self._settled().tolist(), strict=True):
            yield Fault(line, problem.format(other=f"{other:,}"), mend, WARNING, "", code)
        if self.count > NAMED:
            problem = f"{self.count:,} {all_of_them}; the first {NAMED:,} of them are named."
            yield Fault(None, problem, mend, WARNING, "", code)

    def _settled(self) -> np.ndarray:
        """The others, where one that is itself compared to an earlier line gives way to that one."""
        others = self._others
        while others.size:
            at = np.minimum(np.searchsorted(self._lines, others), self._lines.size - 1)
            is_compared = self._lines[at] == others
            if not is_compared.any():
                break
            others = np.where(is_compared, self._others[at], others)
        return others
