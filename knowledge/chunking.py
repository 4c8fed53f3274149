"""A text in pieces that stand for themselves. Pure: no Django, and the same text gives the same pieces.

Pieces end where a sentence, a line or a paragraph does, and begin anew below a heading unless that would leave a
crumb. Neighbours share up to `overlap` characters, so that what stands on a border is found from both sides.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from knowledge.parsing.base import Parsed

SMALLEST, LARGEST = 200, 8000  # characters that a piece may be asked to have
# Behind which a sentence ends, in several scripts; and blank lines.
SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")


@dataclass(frozen=True)
class Piece:
    """`text` is the whole text from `start` to `end`; `place` its page or row, `heading` what stands above it."""

    start: int
    end: int
    text: str
    place: int | None
    heading: str

    @property
    def searched(self) -> str:
        """What is searched: the text below its heading, which often says what it is about."""
        last = self.heading.rpartition(" › ")[2]
        return (
            self.text if not last or last in self.text[: len(last) + 10] else f"{self.heading}\n{self.text}"
        )


def pieces(parsed: Parsed, size: int, overlap: int) -> Iterator[Piece]:
    """Raises ValueError for a size or an overlap that makes no sense."""
    if not SMALLEST <= size <= LARGEST or not 0 <= overlap <= size // 2:
        raise ValueError(f"size {size}, overlap {overlap}")
    starts = [mark[0] for mark in parsed.marks]
    tops = {offset for offset, _place, heading in headings_of(parsed)}
    sentences = list(cut(parsed.text, size, tops))
    first = 0
    while first < len(sentences):
        last = first + 1
        begin = sentences[first][0]
        while last < len(sentences) and sentences[last][1] - begin <= size:
            if sentences[last][0] in tops and sentences[last][0] - begin >= size // 3:
                break
            last += 1
        end = sentences[last - 1][1]
        text = parsed.text[begin:end]
        if text.strip():
            mark = parsed.marks[max(0, bisect_right(starts, begin) - 1)] if starts else (0, None, "")
            yield Piece(begin, end, text, mark[1], mark[2])
        is_top = last < len(sentences) and sentences[last][0] in tops
        first = last if is_top or last == len(sentences) else back(sentences, first, last, overlap)


def headings_of(parsed: Parsed) -> Iterator[tuple[int, int | None, str]]:
    """The marks at which another heading begins."""
    above = None
    for mark in parsed.marks:
        if mark[2] != above:
            yield mark
        above = mark[2]


def back(sentences: list[tuple[int, int]], first: int, last: int, overlap: int) -> int:
    """Where the next piece begins: as many sentences back as fit into the overlap, but further than the one before."""
    end, begin = sentences[last - 1][1], last
    while begin - 1 > first and end - sentences[begin - 1][0] <= overlap:
        begin -= 1
    return begin


def cut(text: str, size: int, tops: set[int]) -> Iterator[tuple[int, int]]:
    """Sentences as (start, end) without the white space between them, none longer than `size`."""
    borders = sorted({match.end() for match in SENTENCE.finditer(text)} | tops | {len(text)})
    begin = 0
    for border in borders:
        sentence = text[begin:border]
        left = begin + len(sentence) - len(sentence.lstrip())
        right = begin + len(sentence.rstrip())
        while right - left > size:  # no end of a sentence in sight: at a space, or just so
            space = text.rfind(" ", left + size // 2, left + size)
            middle = space if space > 0 else left + size
            yield left, middle
            left = middle + (space > 0)
        if right > left:
            yield left, right
        begin = border
