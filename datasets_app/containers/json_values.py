"""One JSON value at a time, more strictly than Python's decoder and with plainer words.

Text comes with its bad bytes kept by `surrogateescape`, so that one bad byte costs one record.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from datasets_app.formats.base import BadRow, excerpt

BAD_BYTE = re.compile("[\udc80-\udcff]")
SPACE = re.compile(r"[ \t\r\n]*")
# Deeper than any example; Python's own limit depends on its version and on who calls.
DEPTH_MOST = 100
# No program reads a number of more digits as what it is (a double ends at 1.8e308).
DIGITS_MOST = 308
UNTERMINATED = "Unterminated string starting at"
EXTRA = "Extra data"
CONTROL = "Invalid control character at"

# The words of Python's json module, and what they mean to somebody who did not write a parser.
PLAIN_WORDS = {
    "Expecting value": "a value is missing or is not valid here",
    "Expecting ',' delimiter": "a comma or closing bracket is missing, or a quotation mark in a text lacks its \\",
    "Expecting ':' delimiter": "a colon after the name is missing",
    "Expecting property name enclosed in double quotes": 'a name in double quotes ("…") was expected',
    "Illegal trailing comma before end of object": "there is a comma too many before the closing }",
    "Illegal trailing comma before end of array": "there is a comma too many before the closing ]",
    UNTERMINATED: "a text that begins here is not closed by a quotation mark",
    CONTROL: "a text is not closed before its line ends (in a text, a line break is \\n)",
    "Invalid \\escape": 'there is a lone backslash; write it as \\\\ (or the quotation mark after it as \\")',
    "Invalid \\uXXXX escape": "\\u must be followed by four digits or letters a to f",
    EXTRA: "something follows after the end of the record",
}
MEND = "Mend this place; a program that writes JSON for you avoids it."


class Unreadable(ValueError):
    """The value that was looked for is none: json's own word for it and the position."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class TooDeep(ValueError):
    """Lists or objects nested beyond what Python follows."""


@dataclass(frozen=True)
class Value:
    """A value, where it ends in the text, and what is odd about it (then it is not to be used)."""

    value: Any
    end: int
    odd: BadRow | None


class Decoder:
    """Decodes a value at a position of a text. Not for two threads at once."""

    def __init__(self) -> None:
        self._constants: list[str] = []
        self._numbers: list[str] = []
        self._repeated: list[str] = []
        self._decoder = json.JSONDecoder(
            parse_constant=self._constants.append,
            parse_int=self._int,
            parse_float=self._float,
            object_pairs_hook=self._object,
        )

    def value_at(self, text: str, position: int) -> Value:
        """The value that begins at `position`. Raises Unreadable, TooDeep."""
        self._constants.clear()
        self._numbers.clear()
        self._repeated.clear()
        try:
            value, end = self._decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise Unreadable(error.msg, error.pos) from None
        except RecursionError:
            raise TooDeep from None
        return Value(value, end, self._odd(text, position, value, end))

    def _odd(self, text: str, start: int, value: Any, end: int) -> BadRow | None:
        if self._constants:
            return BadRow(
                f"{self._constants[0]} is not a JSON value.",
                "Write null or a number there, or leave the field out.",
                code="nan_number",
            )
        if self._numbers:
            return BadRow(
                f"A number is beyond what programs can keep ({excerpt(self._numbers[0], width=40)}).",
                "Write a smaller number, or write it as text in quotes.",
                code="huge_number",
            )
        if self._repeated:
            name = excerpt(self._repeated[0], width=40)
            return BadRow(
                f"The name “{name}” is there twice in one object; programs disagree on which of them counts.",
                "Keep one of the two.",
                code="duplicate_key",
            )
        if end - start > 2 * DEPTH_MOST and is_deeper(value, DEPTH_MOST):
            return too_deep()
        return None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            self._repeated.extend(name for name, _ in pairs if name in seen or seen.add(name))
        return found

    def _int(self, digits: str) -> int:
        if len(digits) > DIGITS_MOST:
            self._numbers.append(digits)
            return 0
        return int(digits)

    def _float(self, digits: str) -> float:
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            self._numbers.append(digits)
        return number


def is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are nested more than `most` deep."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        inner = []
        for each in level:
            items = each.values() if isinstance(each, dict) else each
            inner.extend(item for item in items if isinstance(item, (dict, list)))
        if not inner:
            return False
        level = inner
    return True


def too_deep() -> BadRow:
    return BadRow(
        f"Lists or objects are nested more than {DEPTH_MOST} deep.", "Leave out this record.", code="too_deep"
    )


def invalid(text: str, message: str, position: int, place: str) -> BadRow:
    """What is said of a value that is none; `place` is “line 3, column 7”, `text` what stands around `position`."""
    words = PLAIN_WORDS.get(message, message)
    code, mend = "invalid_json", MEND
    rest = text[position : position + 100].strip()
    if "\x00" in text[position : position + 2]:
        code, words, mend = "nul_character", "a NUL character is there", "Leave out the NUL characters."
    elif message == CONTROL and text[position : position + 1] not in "\r\n":
        code, words = (
            "control_character",
            f"a bare control character (0x{ord(text[position]):02X}) is in a text",
        )
        mend = f"Write it as \\u{ord(text[position]):04x}, or leave it out."
    elif message == UNTERMINATED or not rest:
        code = "truncated_json"
        words = words if message == UNTERMINATED else "it ends in the middle"
        mend = "It may have been cut off on its way; bring the file again, or mend this place."
    elif message == EXTRA:
        code = "extra_data"
        if rest == ",":
            mend = (
                "Leave out the comma at the end of the line: in JSON Lines nothing stands between the lines."
            )
        elif rest[0] in "{[":
            mend = "Begin a new line for each record."
    elif rest.startswith(("//", "#", "/*")):
        words, mend = "a comment is there, which JSON does not have", "Leave the comment out."
    elif rest[0] in "“”„":
        words = f"a quotation mark of print is there ({rest[0]})"
        mend = 'Write the plain one ("): word processors turn it into the other.'
    elif rest[0] == "'" or rest.startswith(("None", "True", "False")):
        mend = "This looks like Python's own way of writing; write it with json.dumps."
    return BadRow(f"Not valid JSON in {place}: {words}.", mend, excerpt(text, position), code)


def bad_byte(text: str, position: int, place: str) -> BadRow:
    """A byte that is not UTF-8, at `position`."""
    byte = ord(text[position]) - 0xDC00
    guess = ""
    if byte >= 0x80 and not BAD_BYTE.match(text, position + 1):
        letter = bytes([byte]).decode("cp1252", "replace")
        if letter.isalpha() or letter in "’‘“”–—…€":
            guess = f" In Windows-1252 it would be “{letter}”."
    return BadRow(
        f"The byte 0x{byte:02X} in {place} is not UTF-8 text.{guess}",
        "Save the file again with the encoding UTF-8 (many programs call it “Unicode (UTF-8)”).",
        excerpt(text, position),
        "bad_encoding",
    )


def skip_space(text: str, position: int) -> int:
    """The position of the first character that is not white space."""
    match = SPACE.match(text, position)
    return match.end() if match else position
