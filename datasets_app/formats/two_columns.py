"""CSV with two columns, question and answer, separated by comma, semicolon or tab.

A header is recognised by the names below (any case); `input` beside `instruction`, `system`, `split` and
`conversation` are used when they are there, other columns are ignored. Without a known header, a file of
exactly two columns is read as question and answer from its first line on.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from .base import BadRow, Example, Turn, excerpt, make_example

NAME = "csv"
SHAPE = "CSV with the columns question and answer"

QUESTIONS = (
    "instruction", "question", "prompt", "query", "input", "user", "human", "request",
    "frage", "pregunta", "domanda", "vraag",
)  # fmt: skip
ANSWERS = (
    "answer", "completion", "output", "response", "assistant", "reply", "target",
    "antwort", "respuesta", "réponse", "reponse", "risposta", "antwoord",
)  # fmt: skip
EXTRAS = ("system", "split", "conversation", "conversation_id")
DELIMITERS = (",", ";", "\t")

# The upload limit is above the csv module's 128 KiB a field; one long answer is no reason to stop.
FIELD_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """How a CSV file is laid out; `names` is the header (lower case), or None when it has none."""

    delimiter: str
    names: tuple[str, ...] | None
    columns: int


def find_layout(sample: str, is_whole: bool) -> Layout | None:
    """The layout of a CSV file from its first lines, or None when it is none.

    A known header decides at once; else the delimiter which makes exactly two columns of (nearly) every row.
    """
    for delimiter in DELIMITERS:
        rows = _sample_rows(sample, delimiter, is_whole)
        if rows:
            names = tuple(name.strip().lower() for name in rows[0])
            if (
                len(names) > 1
                and _column(names, QUESTIONS) is not None
                and _column(names, ANSWERS) is not None
            ):
                return Layout(delimiter, names, len(names))
    # Commas and semicolons are part of sentences, tabs are not: without a header, the rarer one is asked first.
    for delimiter in reversed(DELIMITERS):
        rows = _sample_rows(sample, delimiter, is_whole)
        if rows and len(rows[0]) == 2 and sum(len(row) == 2 for row in rows) >= 0.9 * len(rows):
            return Layout(delimiter, None, 2)
    return None


def looks_like_header(fields: list[str]) -> bool:
    """Whether a first line may be a header whose names we do not know: short single words."""
    return all(0 < len(field.strip()) <= 20 and field.strip().replace("_", "").isalpha() for field in fields)


def header_of(sample: str) -> list[str]:
    """The names on the first line with the delimiter that gives most columns, for a refusal's words."""
    rows = [_sample_rows(sample, delimiter, True) for delimiter in DELIMITERS]
    return max((r[0] for r in rows if r), key=len, default=[])


def _sample_rows(sample: str, delimiter: str, is_whole: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(sample.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) >= 50:
                return rows
    except csv.Error:
        return rows
    return rows if is_whole or len(rows) < 2 else rows[:-1]


def _column(names: tuple[str, ...], known: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def iterate(file: TextIO, layout: Layout) -> Iterator[tuple[int, list[str] | BadRow]]:
    """(line where the record begins, its fields) of each record that is not blank; a broken one as BadRow."""
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(file, delimiter=layout.delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield (
                line,
                BadRow(
                    f"The quotation marks do not match ({error}).",
                    'Write a quotation mark inside a quoted text twice: "He said ""yes""".',
                ),
            )
            continue
        if any(field.strip() for field in fields):
            yield line, fields


def to_example(fields: list[str], layout: Layout) -> Example:
    """The fields of one record as an example; raises BadRow."""
    if len(fields) != layout.columns:
        raise BadRow(
            f"{len(fields)} columns where {layout.columns} were expected.",
            "Put a text that holds the separator or a line break between quotation marks.",
            excerpt(" | ".join(fields)),
        )
    if layout.names is None:
        return _example(fields[0], fields[1], {})
    record = dict(zip(layout.names, fields, strict=True))
    question_at, answer_at = _column(layout.names, QUESTIONS), _column(layout.names, ANSWERS)
    assert question_at is not None and answer_at is not None  # find_layout has seen to both
    question = fields[question_at].strip()
    if layout.names[question_at] == "instruction" and record.get("input", "").strip():
        question = f"{question}\n\n{record['input'].strip()}".strip()
    extras = {name: record[name] for name in EXTRAS if record.get(name, "").strip()}
    return _example(question, fields[answer_at], extras)


def _example(question: str, answer: str, extras: dict[str, Any]) -> Example:
    for what, text in (("question", question), ("answer", answer)):
        if not text.strip():
            raise BadRow(f"The {what} is empty.", "Fill it in, or leave out this row.")
    turns = [Turn("user", question.strip()), Turn("assistant", answer.strip())]
    if extras.get("system"):
        turns.insert(0, Turn("system", extras["system"]))
    return make_example(turns, {**extras, "split": extras.get("split", "").strip().lower()})
