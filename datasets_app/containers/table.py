"""Tables: CSV with commas, semicolons or tabs. A header makes records of the rows, so that every row format applies.

Without a known header, a table of exactly two columns is read as question and answer from its first line on.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator

from datasets_app.faults import REFUSAL, WARNING
from datasets_app.formats.base import BadRow, excerpt

from . import base
from .base import Broken, Found, Opened
from .headers import Layout, find_layout, looks_like_header, record_of, sample_of
from .lines import LongLine, each_line

NAME = "csv"
# A quotation mark that is never closed swallows what follows; so much is read again behind it, once.
SECOND_LOOK_MOST = 64 * 1024 * 1024
# No text in a cell has so many lines; each costs its memory, however short it is.
RECORD_LINES_MOST = 100_000
# What a spreadsheet would compute, or could not; a minus and a space begin an item of a list.
FORMULA = re.compile(
    r"\s*(?:=\s*[A-Za-z0-9(\"'+\-@$]|[+\-@]\s*[A-Za-z_.]+[A-Za-z0-9_.]*\(|[+\-@].*\|.*!|#(?:NAME\?|REF!|VALUE!|DIV/0!|N/A|NUM!|NULL!)\s*$)"
)
UNKNOWN_HEADER = BadRow(
    "The first line may be a header, but its names are not known, so it was read as an example.",
    "If it is a header, name the columns “question” and “answer”.",
    code="header_missing",
)
QUOTES = 'Write a quotation mark inside a quoted text twice: "He said ""yes""".'


def fits(opened: Opened) -> bool:
    return find_layout(sample_of(opened), opened.is_whole) is not None


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


def ragged(fields: list[str], layout: Layout) -> BadRow:
    return BadRow(
        f"{len(fields)} {'column' if len(fields) == 1 else 'columns'} where {layout.columns} were expected.",
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
                f"The cell in column “{excerpt(name, width=40)}” is a formula, or what is left of one: "
                f"“{excerpt(field, width=40)}”.",
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
    counts = Counter(name.lower() for name in header if name)
    if repeated := next((name for name, count in counts.items() if count > 1), None):
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
        if len(self.used) >= RECORD_LINES_MOST:
            raise csv.Error(f"no end after {RECORD_LINES_MOST:,} lines")
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
