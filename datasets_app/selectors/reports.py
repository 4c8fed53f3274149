"""Reports as they were stored."""

from typing import Any

import msgspec

from apex.common import files
from datasets_app.models import DatasetVersion
from datasets_app.reading.report import csv_of


def report_of_version(version: DatasetVersion) -> dict[str, Any]:
    """The whole report on a version; of one from before there were reports, what its row tells."""
    if version.report_sha256:
        with files.open_stored(version.report_sha256) as stored:
            return msgspec.json.decode(stored.read())
    faults = [{**fault, "message": f"{fault['problem']} {fault['mend']}"} for fault in version.faults]
    warnings = [fault for fault in faults if fault["severity"] == "warning"]
    return {
        "file": version.file_name,
        "verdict": version.verdict,
        "format": version.format,
        "rows": version.row_count,
        "errors": [fault for fault in faults if fault["severity"] != "warning"],
        "warnings": warnings,
        "skipped": version.skipped,
        "profile": version.profile,
    }


def first_faults(version: DatasetVersion, most: int) -> list[dict[str, Any]]:
    """At most `most` faults of a version: of the file as a whole first, then by line."""
    return sorted(version.faults, key=lambda fault: fault["line"] or 0)[:most]


def report_csv(report: dict[str, Any]) -> str:
    """The faults of a report as a table."""
    return csv_of(report)
