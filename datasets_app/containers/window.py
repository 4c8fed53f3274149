"""JSON of any size, looked at through a window: a value is decoded where it stands, and what is behind is let go."""

import codecs
from dataclasses import replace
from typing import BinaryIO

from datasets_app.formats.base import BadRow

from . import base
from .base import Broken
from .json_values import (
    BAD_BYTE,
    UNTERMINATED,
    Decoder,
    TooDeep,
    Unreadable,
    Value,
    bad_byte,
    invalid,
    skip_space,
    too_deep,
)

PIECE = 128 * 1024
# Behind so many characters the text is cut, as json's errors count the lines of all of it.
TRIM_AT = 512 * 1024
# The longest word that may be cut in two where a window ends (-Infinity), and some more.
WORD = 20
# What one file may cost in tries that found nothing, in characters; one try costs at least so many.
WASTE_MOST = 20_000_000
WASTE_LEAST = 1000


class Window:
    """A piece of the file's text. `at` is where reading is in it; positions are those of `text`.

    Every call may move the text, so that positions other than `at` hold only until the next call.
    `wasted` is how many characters were looked at for values that were none.
    """

    def __init__(self, stream: BinaryIO | None, text: str = "", line: int = 1) -> None:
        self.text = text
        self.at = 0
        self.wasted = 0
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._decoder = Decoder()
        self._line, self._counted = line, 0
        self._behind = 0  # characters let go
        self._line_start = 0  # of the line at _counted, from the start of the file
        self._size = PIECE

    # --- moving -------------------------------------------------------------------------------------------
    def fill(self) -> bool:
        """Reads on, twice as much each time until reading goes on; False at the end of the file."""
        if self._stream is None:
            return False
        self._trim()
        data = self._stream.read(self._size)
        self._size = min(2 * self._size, base.RECORD_BYTES_MOST)
        if not data:
            self._stream = None
            data = b""
        self.text += self._decode(data, self._stream is None)
        return self._stream is not None

    def _trim(self) -> None:
        """Lets go what is behind."""
        if self.at:
            self.line_of(self.at)
            self.text = self.text[self.at :]
            self._behind += self.at
            self._counted -= self.at
            self.at = 0

    def move(self, position: int) -> None:
        self.at = position
        self._size = PIECE

    def next_character(self) -> str:
        """The first character that is not white space, and `at` is there; "" at the end of the file."""
        while True:
            self.move(skip_space(self.text, self.at))
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill():
                # The last bytes may have become characters.
                self.move(skip_space(self.text, self.at))
                return self.text[self.at : self.at + 1]

    def give_up(self) -> None:
        """Leaves the rest of the file unread."""
        self._stream = None
        self.move(len(self.text))

    @property
    def left(self) -> int:
        """Characters let go and passed: where `at` is in the file."""
        return self._behind + self.at

    def inner(self, end: int) -> "Window":
        """A window of its own on what is between `at` and the position `end`."""
        return Window(None, self.text[self.at : end], self.line_of(self.at))

    # --- looking ------------------------------------------------------------------------------------------
    def line_of(self, position: int) -> int:
        """The physical line of a position at or behind the last one asked for."""
        if position > self._counted:
            count = self.text.count("\n", self._counted, position)
            if count:
                self._line += count
                self._line_start = self._behind + self.text.rindex("\n", self._counted, position) + 1
            self._counted = position
        return self._line

    def place_of(self, position: int) -> str:
        """“line 3, column 7”. Does not move the count, as what is broken may be looked at again."""
        line, start = self.line_of(self.at), self._line_start
        count = self.text.count("\n", self.at, position)
        if count:
            start = self._behind + self.text.rindex("\n", self.at, position) + 1
        return f"line {line + count}, column {self._behind + position - start + 1}"

    def value(self, offset: int = 0) -> Value | Broken:
        """The value `offset` characters behind `at`, which stays; a Value may be `odd` (then it is not to be used).

        A Broken has the physical line where reading stumbled.
        """
        if self.at > TRIM_AT:
            self._trim()
        while True:
            start = self.at + offset
            try:
                found = self._decoder.value_at(self.text, start)
            except TooDeep:
                self._waste(len(self.text) - start)
                return self._broken(too_deep(), start)
            except Unreadable as problem:
                seen, into = len(self.text) - start, problem.position - self.at
                looked = seen if problem.message == UNTERMINATED else problem.position - start
                if looked + WORD >= seen and self._grown():
                    continue
                self._waste(looked)
                if looked > base.RECORD_BYTES_MOST:
                    return self._broken(self._too_long(), self.at + offset)
                position = self.at + into  # looking for more may have moved the text
                place = self.place_of(position)
                return self._broken(invalid(self.text, problem.message, position, place), position)
            if found.end == len(self.text):
                size = found.end - self.at
                if self._grown():
                    continue
                start, found = self.at + offset, replace(found, end=self.at + size)
            if not self.text.isascii() and (bad := BAD_BYTE.search(self.text, start, found.end)):
                fault = bad_byte(self.text, bad.start(), self.place_of(bad.start()))
                return Value(found.value, found.end, fault)
            return found

    def _grown(self) -> bool:
        """Reads on, unless more than one record's worth is there."""
        before = len(self.text) - self.at
        if before > base.RECORD_BYTES_MOST:
            return False
        self.fill()
        return len(self.text) - self.at > before

    def _broken(self, fault: BadRow, position: int) -> Broken:
        return Broken(self.line_of(self.at) + self.text.count("\n", self.at, position), fault)

    def _too_long(self) -> BadRow:
        return BadRow(
            f"This record is longer than the {base.RECORD_BYTES_MOST:,} characters that are read as one.",
            "Split it, or leave it out.",
            self.text[self.at : self.at + 60],
            "line_too_long",
        )

    def _waste(self, looked: int) -> None:
        self.wasted += max(looked, WASTE_LEAST)
