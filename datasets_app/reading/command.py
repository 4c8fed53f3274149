"""`manage.py validate_dataset FILE… [--format F] [--json] [--near-duplicates]`: what Apex says of files.

`manage.py` comes here directly, as no settings, database or secret key are needed: a file can be checked before
anything is set up, and sooner. Ends with 0 whatever the verdict.
"""

import argparse
import json as json_module
import sys
from collections.abc import Callable

from datasets_app.checking import ALL_CHECKS
from datasets_app.scanning import library

from .reading import check_file
from .report import Report

SHOWN = 20
VERDICTS = {
    "accept": "can be used",
    "warn": "can be used, and is worth a look",
    "reject": "has faults to mend",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--format", help="What the rows are, when it is not to be recognised.")
    parser.add_argument("--json", action="store_true", help="One JSON object for each file, on one line.")
    parser.add_argument(
        "--near-duplicates",
        action="store_true",
        help="Also name rows that are nearly the same; takes longer.",
    )


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="manage.py validate_dataset", description=__doc__.split("\n")[0])
    add_arguments(parser)
    run(write=lambda line: print(line, flush=True), **vars(parser.parse_args(words)))
    return 0


def run(
    *, files: list[str], format: str | None, json: bool, near_duplicates: bool, write: Callable[[str], object]
) -> None:
    """Checks each file and writes what is to be said, line by line."""
    checks = ALL_CHECKS if near_duplicates else None
    for name in files:
        report = check_file(name, name, format=format, checks=checks)
        for line in [as_json(report)] if json else as_text(report):
            write(line)


def as_json(report: Report) -> str:
    return json_module.dumps(report.summary(), ensure_ascii=True)


def as_text(report: Report) -> list[str]:
    rows = f"{report.rows:,} {'example' if report.rows == 1 else 'examples'}"
    lines = [
        f"{report.file}: {VERDICTS[report.verdict]} ({report.verdict})",
        f"  {rows}, read as {report.format} in {report.container}",
    ]
    if report.container == "jsonl" and library.load() is None:
        lines.append("  read without the compiled scanner, which needs a C compiler when Apex is installed")
    lines += [
        f"  {count:,} {reason} were skipped, as they should be" for reason, count in report.skipped.items()
    ]
    lines += _list_of("error", report.errors, report.error_count)
    return lines + _list_of("warning", report.warnings, report.warning_count)


def _list_of(severity: str, faults: list[dict], count: int) -> list[str]:
    lines = []
    for fault in faults[:SHOWN]:
        place = f"line {fault['line']:,}" if fault["line"] else "the file"
        lines.append(f"  {severity}, {place} [{fault['code']}]: {fault['message']}")
        if fault["found"]:
            lines.append(f"      found: {fault['found']}")
    if count > SHOWN:
        lines.append(f"  … and {count - SHOWN:,} more ({severity}s); --json lists them")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
