"""Plain text: questions and answers that somebody typed, ChatML, or texts to learn as they are."""

import re
from collections.abc import Iterator

from datasets_app.faults import REFUSAL
from datasets_app.formats import dialogue
from datasets_app.formats.base import BadRow, excerpt

from . import base
from .base import Broken, Found, Opened
from .lines import LongLine, each_line

NAME = "text"
CHATML = re.compile(r"\s*<\|im_start\|>")
TEXT_ENDINGS = (".txt", ".md", ".text", ".markdown")
# Prose is only taken for examples when somebody says so: by the file's ending, or by the format.
TEXT_FORMATS = ("text",)
# What the lines of one text may take while they are gathered; very many short ones take more than their characters.
HELD_BYTES_MOST = 4 * base.RECORD_BYTES_MOST


def fits(opened: Opened) -> bool:
    text = opened.head.decode("utf-8", "surrogateescape")
    return dialogue.fits(text) or bool(CHATML.match(text)) or is_prose(opened)


def is_prose(opened: Opened) -> bool:
    return opened.format in TEXT_FORMATS or opened.name.lower().removesuffix(".gz").endswith(TEXT_ENDINGS)


def records(opened: Opened) -> Iterator[Found | Broken]:
    text = opened.head.decode("utf-8", "surrogateescape")
    long: list[LongLine] = []
    if CHATML.match(text):
        found = _chatml(_lines(opened, long))
    elif dialogue.fits(text) and opened.format not in TEXT_FORMATS:
        found = _dialogue(_lines(opened, long))
    else:
        found = _paragraphs(_lines(opened, long))
    for each in found:
        while long:
            line = long.pop(0)
            yield Broken(line.line, line.fault())
        yield each
    for line in long:
        yield Broken(line.line, line.fault())


def _lines(opened: Opened, long: list[LongLine]) -> Iterator[str]:
    """The lines as text; one that is too long is put into `long`, and empty here."""
    for each in each_line(opened.stream):
        if isinstance(each, LongLine):
            long.append(each)
            yield "\n"
        else:
            yield each[1].decode("utf-8", "surrogateescape") + "\n"


def _dialogue(lines: Iterator[str]) -> Iterator[Found | Broken]:
    for line, turns in dialogue.iterate(lines, HELD_BYTES_MOST):
        if isinstance(turns, int):
            yield Broken(line, LongLine(line, turns, b"").fault())
        else:
            yield Found(line, turns, format=dialogue.NAME)


class _Held:
    """The lines of one text, kept as long as they are no burden, and then only counted."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begins = self.size = 0
        self.has_words = self.is_too_long = False

    def add(self, number: int, line: str) -> None:
        if not self.size:
            self.begins = number
        self.size += len(line)
        self.has_words = self.has_words or bool(line.strip())
        cost = self.size + dialogue.LINE_COST * len(self.lines)
        self.is_too_long = self.is_too_long or self.size > base.RECORD_BYTES_MOST or cost > HELD_BYTES_MOST
        if not self.is_too_long or not self.lines:
            self.lines.append(line)

    def text(self) -> Found | Broken:
        if self.is_too_long:
            start = self.lines[0].encode("utf-8", "replace")[:100]
            return Broken(self.begins, LongLine(self.begins, self.size, start).fault())
        return Found(self.begins, {"text": "".join(self.lines).strip("\r\n")})


def _chatml(lines: Iterator[str]) -> Iterator[Found | Broken]:
    """A conversation begins with instructions, or with a person's turn after a blank line."""
    held, after_blank = _Held(), False
    for number, line in enumerate(lines, 1):
        starts = line.lstrip().startswith("<|im_start|>")
        opens = line.lstrip().startswith("<|im_start|>system") or (starts and after_blank)
        if opens and held.has_words:
            yield held.text()
            held = _Held()
        held.add(number, line)
        after_blank = not line.strip()
    if held.has_words:
        yield held.text()


def _paragraphs(lines: Iterator[str]) -> Iterator[Found | Broken]:
    """Each paragraph, which ends at a blank line, is one text."""
    held = _Held()
    for number, line in enumerate(lines, 1):
        if line.strip():
            held.add(number, line)
        elif held.size:
            yield held.text()
            held = _Held()
    if held.size:
        yield held.text()


def refusal_of(opened: Opened, columns: list[str], shapes: str) -> Broken:
    """Words for a text that no format fits; `columns` are the names on its first line, when there are several."""
    text = opened.head.decode("utf-8", "surrogateescape")
    if len(columns) > 1:
        listed = ", ".join(f"“{excerpt(name, width=40)}”" for name in columns[:10])
        found = f"The first line has the columns {listed}"
    else:
        found = f"It begins with “{excerpt(text.strip()[:200], width=60)}”"
    fault = BadRow(f"No known format fits. {found}.", f"Bring {shapes}.", code="unknown_format")
    return Broken(None, fault, REFUSAL)
