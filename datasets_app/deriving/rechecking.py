"""Looks at the rows of a new version as if they came in a file, and writes down what it finds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datasets_app.checking import ALL_CHECKS
from datasets_app.faults import Fault
from datasets_app.reading.report import ACCEPT, LISTED_MOST, WARN, Report, entry_of

FAULTS_KEPT = 200  # in the row of the version


@dataclass
class Rechecking:
    """Passes rows on and runs every check on them; complete when the iteration has ended.

    The line of a fault is the row's number in the new version, from 1.
    """

    rows: Iterable[dict[str, Any]]
    kind: str
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    profile: dict[str, Any] = field(default_factory=dict)
    row_count: int = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        checks = {name: make() for name, make in ALL_CHECKS.items()}
        for row in self.rows:
            self.row_count += 1
            numbered = {**row, "line": self.row_count}
            for check in checks.values():
                self._note(check.see(numbered, self.kind))
            yield row
        for check in checks.values():
            self._note(check.finish())
            self.profile |= check.summary()

    def _note(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.counts[fault.code] += 1
            if len(self.faults) < LISTED_MOST:
                self.faults.append(fault)

    @property
    def fault_count(self) -> int:
        return sum(self.counts.values())

    @property
    def verdict(self) -> str:
        return WARN if self.counts else ACCEPT

    def report(self, file_name: str, format_name: str) -> Report:
        return Report(
            file=file_name,
            verdict=self.verdict,
            format=format_name,
            container="jsonl",
            kind=self.kind,
            rows=self.row_count,
            warning_count=self.fault_count,
            warnings=[entry_of(fault) for fault in self.faults],
            counts=dict(self.counts),
            profile=self.profile,
        )
