"""How a table is laid out: which separator, whether it has a header, and its rows as records of that header."""

import csv
import json
import re
from dataclasses import dataclass
from typing import Any

from datasets_app.formats import recognise

from .base import Opened

DELIMITERS = (",", ";", "\t")
# Usual names of a question and of its answer, where no format knows the header as it is.
QUESTIONS = (
    "instruction", "question", "prompt", "query", "input", "user", "human", "request",
    "frage", "pregunta", "domanda", "vraag",
)  # fmt: skip
ANSWERS = (
    "answer", "completion", "output", "response", "assistant", "reply", "target",
    "antwort", "respuesta", "réponse", "reponse", "risposta", "antwoord",
)  # fmt: skip
SAMPLE_ROWS = 50
# Columns whose cells hold JSON, as exports of chat rows have them, and those that may: a list of messages, or text.
JSON_COLUMNS = {"messages", "conversations", "turns", "tools", "history", "conversation_history"}
MESSAGE_COLUMNS = {
    "prompt", "chosen", "rejected", "completion", "input", "preferred_output", "non_preferred_output",
}  # fmt: skip
# Cells that may be empty, as if the column were not there.
OPTIONAL_COLUMNS = {
    "system",
    "split",
    "conversation",
    "conversation_id",
    "label",
    "weight",
    "tools",
    "history",
}


@dataclass(frozen=True)
class Layout:
    """How a table is laid out. `names` is the header as records use it, or None when there is none; `header` as
    it stands there. `skip` lines come before it (Excel's `sep=;`)."""

    delimiter: str
    names: tuple[str, ...] | None
    columns: int
    header: tuple[str, ...] = ()
    skip: int = 0


def sample_of(opened: Opened) -> str:
    text = opened.head.decode("utf-8", "surrogateescape")
    return text if opened.is_whole else text[: text.rfind("\n") + 1] or text


def find_layout(sample: str, is_whole: bool, any_header: bool = False) -> Layout | None:
    """The layout of a table from its first lines, or None when it is none.

    A header that makes rows of a known shape decides at once; else the delimiter which makes exactly two columns
    of (nearly) every row. With `any_header` the columns are named by a person, so any first line is a header.
    """
    delimiters, skip = DELIMITERS, 0
    first = sample.split("\n", 1)[0].strip("\r ")
    if re.fullmatch(r"sep=.", first, re.IGNORECASE):
        delimiters, skip = (first[-1],), 1
        sample = sample.split("\n", 1)[1] if "\n" in sample else ""
    tables = {delimiter: sample_rows(sample, delimiter, is_whole) for delimiter in delimiters}
    for delimiter, rows in tables.items():
        if rows and (names := known_names(rows)):
            return Layout(delimiter, names, len(names), tuple(rows[0]), skip)
    if any_header:
        delimiter, rows = max(tables.items(), key=lambda item: len(item[1][0]) if item[1] else 0)
        if not rows:
            return None
        return Layout(delimiter, unlike(rows[0]), len(rows[0]), tuple(rows[0]), skip)
    # Commas and semicolons are part of sentences, tabs are not: without a header, the rarer one is asked first.
    for delimiter, rows in reversed(tables.items()):
        if rows and len(rows[0]) == 2 and sum(len(row) == 2 for row in rows) >= 0.9 * len(rows):
            return Layout(delimiter, None, 2, skip=skip)
    return None


def sample_rows(sample: str, delimiter: str, is_whole: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(sample.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in reader:
            if row and any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) >= SAMPLE_ROWS:
                return rows
    except csv.Error:
        return rows
    return rows if is_whole or len(rows) < 2 else rows[:-1]


def known_names(rows: list[list[str]]) -> tuple[str, ...] | None:
    """The first row as names of columns, when rows so named are of a known shape."""
    names = tuple(name.strip().lower() for name in rows[0])
    example = next((row for row in rows[1:] if len(row) == len(names)), [""] * len(names))
    if len(set(names)) != len(names):
        return None if not _pair(names) else _renamed(unlike(list(names)))
    if len(rows) > 1 or len(names) > 1:
        try:
            module = recognise(record_of(names, example))
        except (ValueError, TypeError, AttributeError, RecursionError):
            module = None
        if module is not None:
            return names
    return _renamed(names) if _pair(names) else None


def _pair(names: tuple[str, ...]) -> tuple[str, str] | None:
    question = next((name for name in QUESTIONS if name in names), None)
    answer = next((name for name in ANSWERS if name in names), None)
    return (question, answer) if question and answer else None


def _renamed(names: tuple[str, ...]) -> tuple[str, ...]:
    question, answer = _pair(names) or ("", "")
    return tuple({question: "prompt", answer: "completion"}.get(name, name) for name in names)


def unlike(names: list[str]) -> tuple[str, ...]:
    """Names of columns with empty and repeated ones numbered."""
    made: dict[str, None] = {}
    for number, name in enumerate(names, 1):
        name = name.strip() or f"column {number}"
        made[name if name not in made else f"{name} ({number})"] = None
    return tuple(made) if len(made) == len(names) else tuple(f"column {n}" for n in range(1, len(names) + 1))


def looks_like_header(fields: list[str]) -> bool:
    """Whether a first line may be a header whose names we do not know: short single words."""
    return all(0 < len(field.strip()) <= 20 and field.strip().replace("_", "").isalpha() for field in fields)


def record_of(names: tuple[str, ...], fields: list[str]) -> dict[str, Any]:
    """A row as a record. Empty cells are left out, but for those that a shape cannot do without."""
    record: dict[str, Any] = {}
    for name, field in zip(names, fields, strict=True):
        value = json_in(name, field) if field.lstrip()[:1] in ("[", "{") else None
        if value is not None:
            record[name] = value
        elif field.strip() or name not in OPTIONAL_COLUMNS:
            record[name] = field
    return record


def json_in(name: str, field: str) -> Any:
    """The value that a cell holds as JSON, or None when it is a text that begins with a bracket."""
    if name not in JSON_COLUMNS and name not in MESSAGE_COLUMNS:
        return None
    try:
        value = json.loads(field)
    except (ValueError, RecursionError):
        return None
    if name in JSON_COLUMNS:
        return value
    is_messages = (
        isinstance(value, list) and value and all(isinstance(m, dict) and "role" in m for m in value)
    )
    return value if is_messages else None
