"""What is said of a file: the same on the page, in the API, on the command line and in a download."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from datasets_app.faults import Fault

ACCEPT, WARN, REJECT = "accept", "warn", "reject"
# What a report lists of each; all are counted.
LISTED_MOST = 10_000
UNKNOWN = "unknown"
CSV_COLUMNS = ("line", "severity", "code", "problem", "mend", "found")
# What a spreadsheet takes for a formula.
RISKY = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class Report:
    """The verdict on one file and everything that led to it.

    `rows` are the samples that would be trained on or compared. `errors` and `warnings` are dicts with `line`
    (None: the whole file), `message`, `code`, and the message's parts `problem`, `mend`, `found`; at most
    LISTED_MOST of each, while `error_count`, `warning_count` and `counts` (by code) are of all. `skipped` counts
    rows that are right to leave out, by reason. `profile` is what the checks found out. `columns` are the names
    that were found, with the values of the first rows, where no format fits.
    """

    file: str
    verdict: str = ACCEPT
    format: str = UNKNOWN
    container: str = UNKNOWN
    kind: str = ""
    rows: int = 0
    error_count: int = 0
    warning_count: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_json(self) -> bytes:
        return json.dumps(self.as_dict(), ensure_ascii=False).encode("utf-8", "replace")

    def as_csv(self) -> str:
        return csv_of(self.as_dict())

    def summary(self) -> dict[str, Any]:
        """The short form that the command prints."""
        return {
            "file": self.file,
            "verdict": self.verdict,
            "format": self.format,
            "rows": self.rows,
            "errors": [_short(fault) for fault in self.errors],
            "warnings": [_short(fault) for fault in self.warnings],
        }


def _short(fault: dict[str, Any]) -> dict[str, Any]:
    return {"line": fault["line"], "message": fault["message"], "code": fault["code"]}


def entry_of(fault: Fault) -> dict[str, Any]:
    """A fault as a report lists it."""
    return {
        "line": fault.line,
        "message": f"{fault.problem} {fault.mend}".strip(),
        "code": fault.code,
        "problem": fault.problem,
        "mend": fault.mend,
        "found": fault.found,
    }


def mend_of_all(errors: list[Fault]) -> str:
    """The mend that each error asks for, when they are many and it is one and the same; else nothing."""
    mends = {fault.mend for fault in errors}
    return f"It is the same everywhere. {mends.pop()}" if len(mends) == 1 and len(errors) > 1 else ""


def csv_of(report: dict[str, Any]) -> str:
    """The faults of a report (as a dict) as CSV that is safe to open in a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for severity in ("errors", "warnings"):
        for fault in report[severity]:
            cells = {**fault, "severity": severity.removesuffix("s")}
            writer.writerow([_safe(cells.get(name)) for name in CSV_COLUMNS])
    return out.getvalue()


def _safe(value: Any) -> str:
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(RISKY) else text
