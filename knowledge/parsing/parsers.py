"""Which module reads which kind of document; only the process that reads imports them all."""

from pathlib import Path

from . import csv_table, docx, html, markdown, pdf, plain
from .base import Parsed, Refused, joined
from .kinds import kind_of

KINDS = {
    "pdf": pdf.blocks,
    "docx": docx.blocks,
    "html": html.blocks,
    "markdown": markdown.blocks,
    "csv": csv_table.blocks,
    "text": plain.blocks,
}


def parse(path: Path, name: str, hint: str = "") -> Parsed:
    """The text of a document. Raises `Refused` with what is wrong and what to do.

    `name` is the file's name for people; `hint` the kind that a server said it is, where content and name do not say.
    """
    kind = kind_of(path, name, hint)
    parsed = joined(kind, KINDS[kind](path))
    if not parsed.text.strip():
        raise Refused(
            "There is no text in it.",
            "A scan holds pictures of text: run text recognition (OCR) over it first, then bring it again."
            if kind == "pdf"
            else "Bring a document that holds text.",
        )
    return parsed
