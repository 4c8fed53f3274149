"""JSON that people really bring: broken lines, NaN, depth without end; and where in the file each record begins.

Everything here works on text whose bad bytes were kept by `surrogateescape`, so that one bad byte costs one
row, and yields `Found` or `Broken` in the order of the file.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .formats.base import BadRow, excerpt

SPACE = re.compile(r"[ \t\r\n]*")
NEXT_RECORD = re.compile(r"[,\n][ \t\r]*(?=\{)")
BAD_BYTE = re.compile("[\udc80-\udcff]")
# What one list may cost in tries that found nothing, in characters; one try costs at least so many.
WASTE_MOST = 20_000_000
WASTE_LEAST = 1000
GAVE_UP = -1
# After a first fault, a value is looked for in so many characters before it is in more: the error of Python's
# decoder counts the lines of all that it was given, which for each of many faults would be the whole file.
WINDOW = 16 * 1024
# The longest word that may be cut in two where a window ends (-Infinity), and some more.
WORD = 20
UNTERMINATED = "Unterminated string starting at"
# Finding a column means looking for where the line began; nobody reads so many faults.
COLUMNS_TOLD = 1000
# An object with these names only is a message inside a record, not a record.
INNER_NAMES = {"role", "content", "from", "value", "weight"}

# The words of Python's json module, and what they mean to somebody who did not write a parser.
PLAIN_WORDS = {
    "Expecting value": "a value is missing or is not valid here",
    "Expecting ',' delimiter": "a comma or closing bracket is missing, or a quotation mark in a text lacks its \\",
    "Expecting ':' delimiter": "a colon after the name is missing",
    "Expecting property name enclosed in double quotes": 'a name in double quotes ("…") was expected',
    "Illegal trailing comma before end of object": "there is a comma too many before the closing }",
    "Illegal trailing comma before end of array": "there is a comma too many before the closing ]",
    UNTERMINATED: "a text that begins here is not closed by a quotation mark",
    "Invalid control character at": "a text is not closed before its line ends (in a text, a line break is \\n)",
    "Invalid \\escape": 'there is a lone backslash; write it as \\\\ (or the quotation mark after it as \\")',
    "Invalid \\uXXXX escape": "\\u must be followed by four digits or letters a to f",
    "Extra data": "something follows after the end of the record",
}


@dataclass(frozen=True)
class Found:
    """A record: its physical line (from 1), and the positions in the text where it begins and ends."""

    line: int
    value: Any
    start: int
    end: int


@dataclass(frozen=True)
class Broken:
    """A piece that is no record, and the `fault` that says so.

    `position` is where reading stumbled; `end` is where the piece ends, or None when nobody can tell.
    """

    line: int
    fault: BadRow
    position: int
    end: int | None = None


class Decoder:
    """A JSON decoder that names NaN and depth instead of passing or dying of them.

    `wasted` is how many characters were looked at for values whose end nobody can tell.
    """

    def __init__(self) -> None:
        self.wasted = 0
        self._faults = 0
        self._constants: list[str] = []
        self._decoder = json.JSONDecoder(parse_constant=self._constants.append)

    def decode_at(self, text: str, start: int, line: int) -> Found | Broken:
        """The value that begins at `start`, which is on `line`."""
        size = WINDOW if self.wasted else len(text)
        while True:
            piece, shift = (text[start : start + size], start) if self.wasted else (text, 0)
            may_go_on = shift + len(piece) < len(text)
            self._constants.clear()
            try:
                value, end = self._decoder.raw_decode(piece, start - shift)
            except json.JSONDecodeError as error:
                position = error.pos + shift
                looked = shift + len(piece) - start if error.msg == UNTERMINATED else position - start
                if may_go_on and looked + WORD >= len(piece):
                    size *= 16
                    continue
                self._waste(looked)
                return self.broken(text, start, line, position, error.msg)
            except RecursionError:
                self._waste(shift + len(piece) - start)
                fault = BadRow("Lists or objects are nested many hundreds deep.", "Leave out this record.")
                return Broken(line, fault, start)
            except ValueError as error:  # a number of thousands of digits
                self._waste(shift + len(piece) - start)
                return Broken(line, BadRow(f"A number cannot be read ({error}).", "Write it as text."), start)
            if may_go_on and end == len(piece):
                size *= 16
                continue
            return self._checked(text, start, line, value, end + shift)

    def _checked(self, text: str, start: int, line: int, value: Any, end: int) -> Found | Broken:
        if self._constants:
            name = self._constants[0]
            line += text.count("\n", start, max(text.find(name, start, end), start))
            fault = BadRow(
                f"{name} is not a JSON value.", "Write null or a number there, or leave the field out."
            )
            return Broken(line, fault, end, end)
        if not text.isascii() and (bad := BAD_BYTE.search(text, start, end)):
            return self._bad_byte(text, start, line, bad.start(), end)
        return Found(line, value, start, end)

    def broken(self, text: str, start: int, line: int, position: int, message: str) -> Broken:
        """The value that begins at `start` as broken at `position`; `message` is one of Python's json module."""
        words = PLAIN_WORDS.get(message, message)
        fault = BadRow(
            f"Not valid JSON in {self._place(text, start, line, position)}: {words}.",
            "Mend this place; a program that writes JSON for you avoids it.",
            excerpt(text, position),
        )
        return Broken(line + text.count("\n", start, position), fault, position)

    def _bad_byte(self, text: str, start: int, line: int, position: int, end: int) -> Broken:
        fault = BadRow(
            f"The byte 0x{ord(text[position]) - 0xDC00:02X} in {self._place(text, start, line, position)} "
            "is not UTF-8 text.",
            "Save the file again with the encoding UTF-8 (many programs call it “Unicode (UTF-8)”).",
            excerpt(text, position),
        )
        return Broken(line, fault, position, end)

    def _place(self, text: str, start: int, line: int, position: int) -> str:
        self._faults += 1
        place = f"line {line + text.count(chr(10), start, position)}"
        if self._faults > COLUMNS_TOLD:
            return place
        return f"{place}, column {position - text.rfind(chr(10), 0, position)}"

    def _waste(self, looked: int) -> None:
        self.wasted += max(looked, WASTE_LEAST)


def skip_space(text: str, position: int) -> int:
    """The position of the first character that is not white space."""
    match = SPACE.match(text, position)
    return match.end() if match else position


def iterate_lines(lines: Iterator[bytes]) -> Iterator[Found | Broken]:
    """The record on each line that is not blank (JSON Lines)."""
    decoder = Decoder()
    for number, raw in enumerate(lines, 1):
        text = raw.decode("utf-8", "surrogateescape").strip("\ufeff \t\r\n")
        if not text:
            continue
        found = decoder.decode_at(text, 0, number)
        if isinstance(found, Found) and found.end != len(text):
            found = decoder.broken(text, 0, number, skip_space(text, found.end), "Extra data")
        yield found


def iterate_array(text: str, start: int, line: int = 1) -> Iterator[Found | Broken]:
    """The elements of the array whose `[` is at `start` on `line`; goes on after a broken one.

    A file of records without brackets around it, one after another, is read in the same way: give the
    position of its first `{`.
    """
    decoder = Decoder()
    position = start + 1 if text[start] == "[" else start
    keys: set[str] = set()
    counted = start
    while True:
        position = skip_space(text, position)
        if position < len(text) and text[position] == ",":
            position = skip_space(text, position + 1)
        line += text.count("\n", counted, position)
        counted = position
        if position >= len(text):
            if text[start] == "[":
                fault = BadRow(
                    "The file ends before the list does: the closing ] is missing.",
                    "It may have been cut off on its way; bring it again, or close the list.",
                )
                yield Broken(line, fault, position)
            return
        if text[position] == "]":
            return
        found = decoder.decode_at(text, position, line)
        yield found
        if isinstance(found, Found) and isinstance(found.value, dict) and len(keys) < 100:
            keys.update(found.value)
        after = found.end
        if after is None:
            after = _next_record(text, position, keys, decoder)
        if after is None:
            return
        if after == GAVE_UP:
            fault = BadRow(
                "What follows could not be read.", "Mend the fault before it, and bring the file again."
            )
            yield Broken(line, fault, position)
            return
        position = after


def _next_record(text: str, position: int, keys: set[str], decoder: Decoder) -> int | None:
    """Where reading can go on after a broken record: at an object with the same names as the ones before.

    None when there is no such place, GAVE_UP when looking for it costs too much.
    """
    while decoder.wasted < WASTE_MOST:
        match = NEXT_RECORD.search(text, position)
        if match is None:
            return None
        position = match.end()
        found = decoder.decode_at(text, position, 1)
        if isinstance(found, Found) and isinstance(found.value, dict):
            names = found.value.keys()
            if (keys & names) if keys else (names - INNER_NAMES):
                return position
        if found.end is not None:
            position = found.end - 1  # a message inside the broken record: look on behind it
    return GAVE_UP


def iterate_members(text: str, start: int, line: int) -> Iterator[tuple[str, int, int, int]]:
    """(name, position of the value, its line, position after it) of the object at `start`, known to be valid."""
    decoder = Decoder()
    position = skip_space(text, start + 1)
    counted = start
    while text[position] != "}":
        name = decoder.decode_at(text, position, line)
        assert isinstance(name, Found)
        value_at = skip_space(text, skip_space(text, name.end) + 1)
        line += text.count("\n", counted, value_at)
        counted = value_at
        value = decoder.decode_at(text, value_at, line)
        assert value.end is not None
        yield name.value, value_at, line, value.end
        position = skip_space(text, value.end)
        if text[position] == ",":
            position = skip_space(text, position + 1)
