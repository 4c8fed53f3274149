"""Letters that were broken on the way: UTF-8 that was read as another encoding, and letters that were lost.

“Ã©” where “é” was meant comes of reading UTF-8 as Windows-1252 or Latin-1; “�” stands for what could not be read at
all. A model learns both as if they were meant. The scanner shows every line with such a sign to the careful reader.
"""

import re
from collections.abc import Iterator
from typing import Any

from datasets_app.faults import WARNING, Fault

from .texts import texts_of

# The first byte of a two-byte letter, or the first two of a quotation mark, as letters, with what may follow them.
FOLLOWS = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
MISREAD = re.compile(f"\u00c3[{FOLLOWS}]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac[{FOLLOWS}]")
LOST = "\ufffd"
MEND_MISREAD = "The file was read in the wrong encoding somewhere: save it again as UTF-8 from where it came."
MEND_LOST = "Put the letter back, or leave the example out: it cannot be guessed."


def meant(found: str) -> str:
    """What was meant by misread letters, or nothing if it cannot be told."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return found.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return ""


class Damage:
    """The check: a warning for each row with damaged letters, and how many there are."""

    def __init__(self) -> None:
        self.misread = self.lost = 0

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        for text in texts_of(row):
            if text.isascii():
                continue
            if match := MISREAD.search(text):
                self.misread += 1
                word = meant(match[0])
                stands = f" stands for “{word}”" if word else ""
                problem = f"Letters are damaged: “{match[0]}”{stands}."
                yield self.fault(row, problem, MEND_MISREAD, text, match.start())
                return
            if (at := text.find(LOST)) >= 0:
                self.lost += 1
                problem = f"It holds “{LOST}”, which stands for a letter that was lost."
                yield self.fault(row, problem, MEND_LOST, text, at)
                return

    @staticmethod
    def fault(row: dict[str, Any], problem: str, mend: str, text: str, at: int) -> Fault:
        return Fault(row["line"], problem, mend, WARNING, text[max(0, at - 40) : at + 40], "damaged_text")

    def finish(self) -> Iterator[Fault]:
        yield from ()

    def summary(self) -> dict[str, Any]:
        """`misread`: rows with letters of another encoding; `lost`: rows with letters that are gone."""
        counts = {"misread": self.misread, "lost": self.lost}
        return {"damaged": counts} if any(counts.values()) else {}
