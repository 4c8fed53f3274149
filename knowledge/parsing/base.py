"""What every kind of document becomes: a text, and marks that say where in the document a place of it is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

MOST_CHARACTERS = 20_000_000
LONGEST_HEADING = 300


class Refused(Exception):
    """A document that cannot be used: `problem` says why, `advice` what to do, each a plain sentence."""

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem} {advice}")
        self.problem, self.advice = problem, advice


@dataclass(frozen=True)
class Block:
    """A paragraph, a row of a table, a heading. `place` is its page, or its row in a table, from 1.

    `heading` is the level (1 and up) of a block that is one, else 0. `remark` is told to the owner.
    """

    text: str
    place: int | None = None
    heading: int = 0
    remark: str = ""


@dataclass
class Parsed:
    """`marks`: from this offset (characters) on it is this page or row, below this heading; in order."""

    kind: str
    text: str = ""
    marks: list[tuple[int, int | None, str]] = field(default_factory=list)
    places: int = 0  # the last page or row
    remarks: list[str] = field(default_factory=list)


def joined(kind: str, blocks: Iterable[Block]) -> Parsed:
    """Puts blocks together, a blank line between them; headings above each other are joined by ` › `."""
    parsed, pieces, length = Parsed(kind), [], 0
    path: list[tuple[int, str]] = []
    between = "\n" if kind == "csv" else "\n\n"
    for block in blocks:
        if block.remark and len(parsed.remarks) < 20:
            parsed.remarks.append(block.remark)
        text = clean(block.text)
        if not text:
            continue
        if block.heading:
            title = " ".join(text.lstrip("# ").split())
            path = [(level, above) for level, above in path if level < block.heading]
            path.append((block.heading, title))
        heading = " › ".join(title for _level, title in path)[:LONGEST_HEADING]
        mark = (length, block.place, heading)
        if not parsed.marks or parsed.marks[-1][1:] != mark[1:]:
            parsed.marks.append(mark)
        pieces += [text, between]
        length += len(text) + len(between)
        parsed.places = max(parsed.places, block.place or 0)
        if length > MOST_CHARACTERS:
            raise Refused(
                f"It holds more than {MOST_CHARACTERS:,} characters of text, which is the most that is taken.",
                "Split it into several documents.",
            )
    parsed.text = "".join(pieces).rstrip("\n")
    return parsed


def clean(text: str) -> str:
    """Without what no database keeps and no reader sees: NUL and other control characters, halves of characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "" for c in text)
        text = text.encode("utf-8", "ignore").decode()
    return text.strip()


def decoded(path: Path) -> str:
    """A text file's characters: UTF-8, UTF-16 and UTF-32 by their marks, else Windows-1252, as old files are."""
    data = path.read_bytes()
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return decode(data, encoding)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return decode(data, "cp1252")


def decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        raise Refused(
            f"Its letters are neither UTF-8 nor another encoding that can be told (byte {problem.start}).",
            "Save it as UTF-8 and bring it again.",
        ) from problem
