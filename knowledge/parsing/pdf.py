"""PDF: the text of each page, in the order in which it was written; the bookmarks are its headings."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from .base import Block, Refused
from .plain import PARAGRAPH

MOST_PAGES = 5000
# What a damaged file makes the library raise, beside its own errors.
DAMAGE = (PyPdfError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError,
          AssertionError, NotImplementedError, ArithmeticError, LookupError, EOFError, OSError)  # fmt: skip
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def blocks(path: Path) -> Iterator[Block]:
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("This PDF asks for a password.", "Save it without one and bring it again.")
        count = len(reader.pages)
    except DAMAGE as problem:
        raise Refused(
            "This PDF is damaged and cannot be opened.", "Save or print it anew as PDF."
        ) from problem
    if count > MOST_PAGES:
        raise Refused(f"This PDF has {count} pages; at most {MOST_PAGES} are taken.", "Split it.")
    titles = bookmarks(reader)
    broken, empty = [], []
    for number in range(1, count + 1):
        try:
            text = reader.pages[number - 1].extract_text()
        except DAMAGE:
            broken.append(number)
            continue
        if not text.strip():
            empty.append(number)
        for level, title in titles.get(number, []):
            yield Block(title, place=number, heading=level)
        for paragraph in PARAGRAPH.split(text):
            yield Block(paragraph, place=number)
    if len(empty) + len(broken) < count:
        for numbers, words in ((broken, "could not be read"), (empty, "had no text (pictures are not read)")):
            if numbers:
                yield Block("", remark=f"{listed(numbers)} {words}.")


def listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
    return f"Page {shown}" if len(numbers) == 1 else f"{len(numbers)} pages ({shown})"


def bookmarks(reader: PdfReader) -> dict[int, list[tuple[int, str]]]:
    """Page → its bookmarks with their level; nothing where they are damaged, for the text stands without them."""
    found: dict[int, list[tuple[int, str]]] = {}

    def walk(items: list[Any], level: int) -> None:
        for item in items:
            if isinstance(item, list):
                walk(item, level + 1)
            elif title := " ".join(str(item.title).split()):
                page = reader.get_destination_page_number(item)
                if page is not None and page >= 0:
                    found.setdefault(page + 1, []).append((level, title))

    try:
        walk(reader.outline, 1)
    except DAMAGE:
        return {}
    return found
