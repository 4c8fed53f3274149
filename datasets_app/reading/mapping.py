"""Columns that a person names, when no format fits."""

from collections.abc import Mapping
from typing import Any

from datasets_app.containers import headers
from datasets_app.containers.base import Opened
from datasets_app.formats.base import BadRow, excerpt

# What a column can be named as, and the name that the row formats know it by.
ROLES: dict[str, str] = {
    "system": "system",
    "question": "prompt",
    "answer": "completion",
    "prompt": "prompt",
    "chosen": "chosen",
    "rejected": "rejected",
    "text": "text",
}
KEPT = ("split", "conversation", "conversation_id")
COLUMNS_SHOWN = 50
SAMPLES = 3
WIDTH = 80


def mapped(record: dict[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The record with the columns of `mapping` (role → column) under the names that formats know.

    Raises BadRow when a column is not there.
    """
    made = {name: record[name] for name in KEPT if name in record}
    for role, column in mapping.items():
        if not column or role not in ROLES:
            continue
        if column not in record:
            raise BadRow(
                f"The column “{excerpt(column, width=40)}” is not in this row.",
                "Name another column, or fill it in.",
                code="missing_field",
            )
        made[ROLES[role]] = record[column]
    return made


def columns_of(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Each name in records that no format knows, with its value in each of them."""
    names = list(dict.fromkeys(str(name) for record in records for name in list(record)[:COLUMNS_SHOWN]))
    return {
        excerpt(name, width=WIDTH): [_shown(record.get(name)) for record in records]
        for name in names[:COLUMNS_SHOWN]
    }


def _shown(value: Any) -> str:
    return "" if value is None else excerpt(str(value)[: 4 * WIDTH], width=WIDTH)


def columns_of_table(opened: Opened) -> dict[str, list[str]]:
    """The same of the first rows of a table whose header no format knows; empty for what is no table."""
    sample = headers.sample_of(opened)
    layout = headers.find_layout(sample, opened.is_whole, any_header=True)
    if layout is None or layout.names is None or layout.columns < 2:
        return {}
    rows = headers.sample_rows(sample, layout.delimiter, opened.is_whole)[1 + layout.skip :]
    fitting = [dict(zip(layout.names, row, strict=True)) for row in rows if len(row) == layout.columns]
    if len(fitting) < 0.5 * len(rows):
        return {}
    return columns_of(fitting[:SAMPLES] or [dict.fromkeys(layout.names, "")])
