"""JSON Lines of plain chats, checked the fast way: perfect lines are counted as columns, all others read with care.

The report is the same as without; `tests/datasets_app/test_scanning.py` holds the two together.
"""

from collections.abc import Iterator

import msgspec

from datasets_app.checking.contamination import known_items
from datasets_app.containers import json_lines
from datasets_app.containers.base import Broken, Found, Opened
from datasets_app.formats import chat
from datasets_app.formats.base import CHAT
from datasets_app.scanning import library
from datasets_app.scanning.flags import LOOK_OF_CHECK

from .running import Running


def may_scan(running: Running) -> bool:
    """Whether the scanner is there and knows all that is asked of this file."""
    return (
        library.load() is not None
        and running.asked_format in (None, chat.NAME)
        and not running.mapping
        and all(hasattr(check, "see_many") or name in LOOK_OF_CHECK for name, check in running.checks.items())
    )


def records(file: Opened, running: Running) -> Iterator[Found | Broken]:
    """The records of the lines that need care; perfect lines are told to `running` at once.

    As the first row says what the file holds, scanning begins behind it, and only behind a chat.
    """
    from datasets_app.scanning.lines import ONE_LINE, SCANNED, UNSCANNED, Columns, Flagged, Scan

    scanner = library.load()
    assert scanner is not None
    scan = Scan(scanner, file.stream, library.known_bits(list(known_items())), ONE_LINE)
    languages = running.checks.get("languages")
    for item in scan:
        if languages is not None:
            scan.sample(languages.below)
        if isinstance(item, Columns):
            _take_columns(running, item)
        elif isinstance(item, Flagged):
            _look(running, item)
        else:
            yield from json_lines.records_of(item)
            if running.first_format:
                scan.mode = SCANNED if running.first_format == chat.NAME else UNSCANNED


def _take_columns(running: Running, columns) -> None:
    count = columns.line.size
    running.formats[chat.NAME] += count
    running.row_count += count
    for check in running.checks.values():
        if hasattr(check, "see_many"):
            check.see_many(columns)


def _look(running: Running, flagged) -> None:
    """Shows a perfect row to the checks that its flags concern; it has been counted in columns."""
    row = {**msgspec.json.decode(flagged.data), "line": flagged.line, "split": None}
    for name, check in running.checks.items():
        if flagged.flags & LOOK_OF_CHECK.get(name, 0):
            for fault in check.see(row, CHAT):
                running.keep(fault)
