"""Which kind of document it is: by its content, and where that does not say, by its name or what a server said."""

import zipfile
from pathlib import Path

from .base import Refused

HEAD_BYTES = 8192
BY_ENDING = {
    ".md": "markdown", ".markdown": "markdown", ".mdown": "markdown",
    ".csv": "csv", ".tsv": "csv",
    ".html": "html", ".htm": "html", ".xhtml": "html",
}  # fmt: skip
BY_CONTENT_TYPE = {
    "text/html": "html", "application/xhtml+xml": "html", "text/markdown": "markdown", "text/csv": "csv",
    "text/tab-separated-values": "csv",
}  # fmt: skip
TAKEN = "Taken are PDF, Word (.docx), HTML, Markdown, text and CSV."
# What else a beginning says, and what to do with it.
KNOWN = [
    (b"\xd0\xcf\x11\xe0", "This is an old Office file (.doc, .xls, .ppt).", "Save it as .docx or PDF."),
    (b"\x1f\x8b", "This is compressed with gzip.", "Unpack it and bring what is inside."),
    (b"{\\rtf", "This is RTF.", "Save it as .docx or PDF."),
    (b"\x89PNG", "This is a picture.", "Run text recognition (OCR) over it and bring the text."),
    (b"\xff\xd8\xff", "This is a picture.", "Run text recognition (OCR) over it and bring the text."),
    (b"GIF8", "This is a picture.", TAKEN),
    (b"\x7fELF", "This is a program.", TAKEN),
    (b"MZ", "This is a program.", TAKEN),
]


def kind_of(path: Path, name: str, hint: str = "") -> str:
    """A key of `KINDS`. Raises `Refused` for what is no document that is read here."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise Refused("The file is empty.", "Bring one that holds text.")
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zip_kind(path)
    for beginning, problem, advice in KNOWN:
        if head.startswith(beginning) and (beginning != b"MZ" or b"\x00" in head):
            raise Refused(problem, advice)
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        raise Refused("This is no text, and no kind of document that is known here.", TAKEN)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    ending = Path(name).suffix.lower()
    return BY_ENDING.get(ending) or hint or "text"


def zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as problem:
        raise Refused(
            "This file is damaged: it cannot be unpacked.", "Save it anew and bring it again."
        ) from problem
    if "word/document.xml" in names:
        return "docx"
    for inside, what in (
        ("xl/workbook.xml", "an Excel workbook"),
        ("ppt/presentation.xml", "a presentation"),
    ):
        if inside in names:
            advice = "Save each sheet as CSV." if "Excel" in what else "Save it as PDF."
            raise Refused(f"This is {what}.", advice)
    if "content.xml" in names:
        raise Refused("This is an OpenDocument file.", "Save it as .docx or PDF.")
    raise Refused("This is an archive of several files.", "Unpack it and bring the documents inside.")
