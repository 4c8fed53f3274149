"""Word documents: paragraphs, headings and tables of `word/document.xml`, read as a stream."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from .base import Block, Refused

MOST_BYTES = 300 * 1024 * 1024  # of the one file inside that is read, unpacked
MOST_RATIO = 300  # unpacked to packed; text comes to about 20
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
HEADING = re.compile(r"(?:heading|berschrift|titre|t[ií]tulo|titolo)\s*([1-9])", re.IGNORECASE)


def blocks(path: Path) -> Iterator[Block]:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.getinfo("word/document.xml")
            check_size(inside)
            with archive.open(inside) as stream:
                yield from body(stream)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as problem:
        raise Refused("This Word document is damaged.", "Open it in Word and save it anew.") from problem
    except ElementTree.ParseError as problem:
        raise Refused(
            "The text in this Word document is damaged.", "Open it in Word and save it anew."
        ) from problem


def check_size(inside: zipfile.ZipInfo) -> None:
    too_dense = inside.file_size > 1024 * 1024 and inside.file_size > MOST_RATIO * max(
        1, inside.compress_size
    )
    if inside.file_size > MOST_BYTES or too_dense:
        raise Refused(
            f"Its text unpacks to {inside.file_size // 1024**2} MB, which no letter does.",
            "Save it anew, or as PDF.",
        )


def body(stream) -> Iterator[Block]:
    """Paragraphs as they end; rows of tables as one block each. Elements are let go of once read."""
    cells: list[str] = []
    cell: list[str] = []
    tables = 0
    events = ElementTree.iterparse(stream, events=("start", "end"))
    for event, element in events:
        if event == "start":
            tables += element.tag == f"{W}tbl"
            continue
        if element.tag == f"{W}p":
            text, level = paragraph(element)
            if tables:
                cell.append(text)
            elif text.strip():
                yield Block(text, heading=level)
            element.clear()
        elif element.tag == f"{W}tc" and tables:
            cells.append(" ".join(" ".join(cell).split()))
            cell = []
            element.clear()
        elif element.tag == f"{W}tr" and tables:
            if tables == 1:
                yield Block(" | ".join(text for text in cells if text))
                cells = []
            element.clear()
        elif element.tag == f"{W}tbl":
            tables -= 1
            element.clear()


def paragraph(element: ElementTree.Element) -> tuple[str, int]:
    """Its text, and its level if it is a heading."""
    words, level = [], 0
    for part in element.iter():
        if part.tag == f"{W}t":
            words.append(part.text or "")
        elif part.tag in (f"{W}tab", f"{W}cr", f"{W}br"):
            words.append("\n" if part.tag != f"{W}tab" else "\t")
        elif part.tag == f"{W}pStyle":
            style = part.get(f"{W}val", "")
            named = HEADING.search(style)
            level = int(named[1]) if named else 1 if style.lower() == "title" else 0
    return "".join(words), level
