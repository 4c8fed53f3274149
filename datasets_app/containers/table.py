"""Tables: CSV with commas, semicolons or tabs. A header makes records of the rows, so that every row format applies.

Without a known header, a table of exactly two columns is read as question and answer from its first line on.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datasets_app.faults import REFUSAL, WARNING
from datasets_app.formats import recognise
from datasets_app.formats.base import BadRow, excerpt

from . import base
from .base import Broken, Found, Opened
from .lines import LongLine, each_line

NAME = "csv"
DELIMITERS = (",", ";", "\t")
DELIMITER_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs"}
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
# A quotation mark that is never closed swallows what follows; so much is read again behind it, once.
SECOND_LOOK_MOST = 64 * 1024 * 1024
# What a spreadsheet would compute, or could not; a minus and a space begin an item of a list.
FORMULA = re.compile(
    r"\s*(?:=\s*[A-Za-z0-9(\"'+\-@$]|[+\-@]\s*[A-Za-z_.]+[A-Za-z0-9_.]*\(|[+\-@].*\|.*!|#(?:NAME\?|REF!|VALUE!|DIV/0!|N/A|NUM!|NULL!)\s*$)"
)
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
UNKNOWN_HEADER = BadRow(
    "The first line may be a header, but its names are not known, so it was read as an example.",
    "If it is a header, name the columns “question” and “answer”.",
    code="header_missing",
)
QUOTES = 'Write a quotation mark inside a quoted text twice: "He said ""yes""".'


@dataclass(frozen=True)
class Layout:
    """How a table is laid out. `names` is the header as records use it, or None when there is none; `header` as
    it stands there. `skip` lines come before it (Excel's `sep=;`)."""

    delimiter: str
    names: tuple[str, ...] | None
    columns: int
    header: tuple[str, ...] = ()
    skip: int = 0


def fits(opened: Opened) -> bool:
    return find_layout(sample_of(opened), opened.is_whole) is not None


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
    made: list[str] = []
    for number, name in enumerate(names, 1):
        name = name.strip() or f"column {number}"
        made.append(name if name not in made else f"{name} ({number})")
    return tuple(made)


def looks_like_header(fields: list[str]) -> bool:
    """Whether a first line may be a header whose names we do not know: short single words."""
    return all(0 < len(field.strip()) <= 20 and field.strip().replace("_", "").isalpha() for field in fields)


def records(opened: Opened, any_header: bool = False) -> Iterator[Found | Broken]:
    """The rows as records; a row that does not fit the header as Broken."""
    layout = find_layout(sample_of(opened), opened.is_whole, any_header)
    if layout is None:
        fault = BadRow("This is no table.", "Bring a table with a header.", code="unknown_format")
        yield Broken(None, fault, REFUSAL)
        return
    rows = iterate(opened, layout)
    if layout.names is not None:
        yield from _remarks_on_header(layout)
        next(rows, None)
    is_first = True
    for line, fields in rows:
        if isinstance(fields, BadRow):
            yield Broken(line, fields)
            continue
        if is_first and layout.names is None and looks_like_header(fields):
            yield Broken(line, UNKNOWN_HEADER, WARNING)
        is_first = False
        if len(fields) != layout.columns:
            yield Broken(line, ragged(fields, layout))
            continue
        record = record_of(layout.names or ("prompt", "completion"), fields)
        yield Found(line, record, remarks=tuple(formulas(fields, layout)))


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


def ragged(fields: list[str], layout: Layout) -> BadRow:
    return BadRow(
        f"{len(fields)} columns where {layout.columns} were expected.",
        "Put a text that holds the separator or a line break between quotation marks.",
        excerpt(" | ".join(field[:80] for field in fields[:20])),
        "ragged_row",
    )


def formulas(fields: list[str], layout: Layout) -> Iterator[BadRow]:
    """A warning for the first cell that a spreadsheet would compute."""
    for number, field in enumerate(fields, 1):
        if FORMULA.match(field[:200]):
            name = layout.names[number - 1] if layout.names else str(number)
            yield BadRow(
                f"The cell in column “{excerpt(name, width=40)}” is a formula, or what is left of one.",
                "In the spreadsheet, copy the column and paste it as values; or leave the row out.",
                excerpt(field),
                "formula_cell",
            )
            return


def _remarks_on_header(layout: Layout) -> Iterator[Broken]:
    header = [name.strip() for name in layout.header]
    if "" in header:
        number = header.index("") + 1
        fault = BadRow(f"Column {number} has no name.", "Name it, or leave it out.", code="header_trouble")
        yield Broken(1 + layout.skip, fault, WARNING)
    lower = [name.lower() for name in header if name]
    if repeated := next((name for name in lower if lower.count(name) > 1), None):
        fault = BadRow(
            f"Two columns are named “{excerpt(repeated, width=40)}”; the first of them counts.",
            "Give each column a name of its own.",
            code="header_trouble",
        )
        yield Broken(1 + layout.skip, fault, WARNING)


class _Text:
    """The lines of a table as text, for Python's csv reader, which can be put back behind a broken record."""

    def __init__(self, opened: Opened, skip: int) -> None:
        self._lines = each_line(opened.stream)
        self._again: list[tuple[int, str]] = []
        self._may_look_again = SECOND_LOOK_MOST
        self.used: list[tuple[int, str]] = []
        self.long: LongLine | None = None
        for _ in range(skip):
            next(self._lines, None)

    def __iter__(self) -> "_Text":
        return self

    def __next__(self) -> str:
        if self._again:
            number, text = self._again.pop()
        else:
            each = next(self._lines)
            if isinstance(each, LongLine):
                self.long = each
                raise _Long
            number, text = each[0], each[1].decode("utf-8", "surrogateescape") + "\n"
        self.used.append((number, text))
        return text

    def put_back(self) -> None:
        """All used lines but the first come again, as far as that is allowed."""
        cost = sum(len(text) for _, text in self.used[1:])
        if cost <= self._may_look_again:
            self._may_look_again -= cost
            self._again.extend(reversed(self.used[1:]))


class _Long(Exception):
    """A line is too long to be read."""


def iterate(opened: Opened, layout: Layout) -> Iterator[tuple[int, list[str] | BadRow]]:
    """(line where the record begins, its fields) of each record that is not blank; a broken one as BadRow."""
    # The upload limit is above the csv module's 128 KiB a field; one long answer is no reason to stop.
    csv.field_size_limit(base.RECORD_BYTES_MOST)
    text = _Text(opened, layout.skip)
    reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
    while True:
        text.used.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except _Long:
            assert text.long is not None
            yield text.long.line, text.long.fault()
            reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
            continue
        except csv.Error as error:
            line = text.used[0][0]
            text.put_back()
            reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
            yield line, unbalanced(error, text.used)
            continue
        if any(field.strip() for field in fields):
            yield text.used[0][0], fields


def unbalanced(error: csv.Error, used: list[tuple[int, str]]) -> BadRow:
    first, last = used[0], used[-1]
    if "field limit" in str(error):
        problem = "A quotation mark is opened here and not closed for millions of characters."
    elif len(used) > 1:
        problem = f"The quotation marks do not match ({error}, found in line {last[0]})."
    else:
        problem = f"The quotation marks do not match ({error})."
    return BadRow(problem, QUOTES, excerpt(first[1]), "unbalanced_quotes")
