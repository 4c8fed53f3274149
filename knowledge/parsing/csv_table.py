"""Tables: a line a row, each value behind the name of its column, so that a row is understood by itself."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from .base import Block, Refused, decoded

SNIFFED = 64 * 1024
LONGEST_VALUE = 1024 * 1024


def blocks(path: Path) -> Iterator[Block]:
    text = decoded(path)
    csv.field_size_limit(LONGEST_VALUE)
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:SNIFFED], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = csv.reader(io.StringIO(text, newline=""), dialect)
    header: list[str] = []
    try:
        for number, row in enumerate(rows, start=1):
            if not any(value.strip() for value in row):
                continue
            if not header:
                header = [value.strip() or f"column {place}" for place, value in enumerate(row, start=1)]
                continue
            yield Block("; ".join(named(header, row)), place=number)
    except csv.Error as problem:
        raise Refused(
            f"Row {rows.line_num} of the table cannot be read: {problem}.", "Mend its quotation marks."
        ) from problem
    if header and rows.line_num <= 1:
        yield Block("; ".join(header), place=1)


def named(header: list[str], row: list[str]) -> Iterator[str]:
    for place, value in enumerate(row):
        if value := " ".join(value.split()):
            name = header[place] if place < len(header) else f"column {place + 1}"
            yield f"{name}: {value}"
