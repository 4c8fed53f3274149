"""A list of records in JSON, or records one after another, of any size; goes on after a broken one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datasets_app.faults import WARNING
from datasets_app.formats.base import BadRow

from .base import Broken
from .json_lines import INNER_NAMES
from .json_values import Value
from .window import WASTE_MOST, Window

COMMA_TOO_MANY = BadRow(
    "There is a comma too many before the closing ], which was passed over.",
    "Leave it out: other programs refuse the whole file.",
    code="invalid_json",
)
NEXT_RECORD = re.compile(r"[,\n][ \t\r]*(?=\{)")
KEYS_KEPT = 100


@dataclass(frozen=True)
class Element:
    """One element: its number in the list (from 1), the physical line where it begins, and what it is.

    While it is looked at, the window stands on it, so that `window.inner(end)` can look inside.
    """

    number: int
    line: int
    value: Any
    end: int


def elements(window: Window, *, in_brackets: bool = True) -> Iterator[Element | Broken]:
    """The elements of the list that begins at `at`; without brackets, of all values up to the end of the file.

    Ends with the window behind the closing bracket. Broken ones say which record they are in `place`; a warning
    about the list has the number of the record before it.
    """
    if in_brackets:
        window.move(window.at + 1)
    keys: set[str] = set()
    number = 0
    while True:
        character = window.next_character()
        if character == ",":
            window.move(window.at + 1)
            character = window.next_character()
            if character == "]" and in_brackets:
                place = place_of(number, window.line_of(window.at))
                yield Broken(number or None, COMMA_TOO_MANY, WARNING, place)
        if not character:
            if in_brackets:
                yield _cut_off(window, number)
            return
        if character == "]" and in_brackets:
            window.move(window.at + 1)
            return
        number += 1
        line = window.line_of(window.at)
        got = window.value()
        if isinstance(got, Broken):
            yield Broken(got.line, got.fault, place=place_of(number, line))
            found = find_next(window, keys)
            if found is None:
                yield Broken(
                    window.line_of(window.at),
                    BadRow(
                        "What follows could not be read.",
                        "Mend the fault before it, and bring the file again.",
                        code="invalid_json",
                    ),
                    place=place_of(number + 1, window.line_of(window.at)),
                )
                window.give_up()
            if not found:
                return
            continue
        before = window.left
        if got.odd:
            yield Broken(line, got.odd, place=place_of(number, line))
        else:
            yield Element(number, line, got.value, got.end)
        assert window.left == before, "an element was looked at from outside"
        window.move(got.end)
        if isinstance(got.value, dict) and len(keys) < KEYS_KEPT:
            keys.update(got.value)


def place_of(number: int, line: int) -> str:
    return f"record {number}, line {line}"


def _cut_off(window: Window, number: int) -> Broken:
    line = window.line_of(window.at)
    fault = BadRow(
        "The file ends before the list does: the closing ] is missing.",
        "It may have been cut off on its way; bring it again, or close the list.",
        code="truncated_json",
    )
    return Broken(line, fault, place=place_of(number + 1, line))


def find_next(window: Window, keys: set[str]) -> bool | None:
    """Moves to where reading can go on after a broken record: an object with names like the ones before.

    False when there is no such place, None when looking for it costs too much.
    """
    while window.wasted < WASTE_MOST:
        match = NEXT_RECORD.search(window.text, window.at)
        if match is None:
            # A separator at the very end may belong to a record that has not been read yet.
            end = len(window.text.rstrip(" \t\r"))
            ends_in_separator = end > window.at and window.text[end - 1] in ",\n"
            window.move(max(window.at, end - 1 if ends_in_separator else len(window.text)))
            if not window.fill() and NEXT_RECORD.search(window.text, window.at) is None:
                return False
            continue
        window.move(match.end())
        got = window.value()
        if isinstance(got, Value) and isinstance(got.value, dict):
            names = got.value.keys()
            if (keys & names) if keys else (names - INNER_NAMES):
                return True
            window.move(got.end - 1)  # a message inside the broken record: look on behind it
    return None
