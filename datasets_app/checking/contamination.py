"""Known test questions among the examples: whoever learns the test scores well on it and shows nothing.

A question is known by its beginning: the first `LENGTH` ASCII letters and digits from the start of a line of a
text on, in lower case, line breaks and all else left out. `known_items.tsv` holds a fingerprint of each, so the
questions themselves are not here. Shorter beginnings are not compared: too many harmless questions share them.

`fingerprint` is the beginning as one big-endian number modulo 2^61 - 1, which a scanner in another language
computes with ease: six times `h = (h * 2^64 + word) mod (2^61 - 1)`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from datasets_app.faults import WARNING, Fault

from .texts import texts_of

LENGTH = 48
MODULUS = 2**61 - 1
KNOWN_ITEMS = Path(__file__).with_name("known_items.tsv")
NOT_ALPHANUMERIC = re.sub(rb"[A-Za-z0-9]", b"", bytes(range(256)))
# The person's side only: an answer may well quote a question.
ASKING = frozenset({"user"})


def fingerprint(beginning: bytes) -> int:
    """The fingerprint of exactly LENGTH lower-case letters and digits."""
    return int.from_bytes(beginning, "big") % MODULUS


def beginnings(text: str) -> Iterator[bytes]:
    """The LENGTH letters and digits after each start of a line, where there are so many."""
    lines = text.encode("ascii", "ignore").lower().split(b"\n")
    compact = [line.translate(None, NOT_ALPHANUMERIC) for line in lines]
    whole = b"".join(compact)
    at = 0
    for line in compact:
        if len(whole) - at < LENGTH:
            return
        if line:
            yield whole[at : at + LENGTH]
        at += len(line)


@cache
def known_items() -> dict[int, tuple[str, str]]:
    """Fingerprint → (benchmark, item)."""
    found = {}
    for line in KNOWN_ITEMS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            number, benchmark, item = line.split("\t")
            found[int(number, 16)] = (benchmark, item)
    return found


class Contamination:
    """The check: a warning for each row that asks a known test question, and how many there are of each test."""

    def __init__(self) -> None:
        self.known = known_items()
        self.rows: Counter[str] = Counter()

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        for text in texts_of(row, ASKING):
            for beginning in beginnings(text):
                if found := self.known.get(fingerprint(beginning)):
                    benchmark, item = found
                    self.rows[benchmark] += 1
                    yield Fault(
                        row["line"],
                        f"It begins like item {item} of the test {benchmark}.",
                        f"Leave it out if you want to be judged by {benchmark}: a learned test proves nothing.",
                        WARNING,
                        text[:80],
                        "benchmark_item",
                    )
                    return

    def finish(self) -> Iterator[Fault]:
        yield from ()

    def summary(self) -> dict[str, Any]:
        return {"benchmark_items": dict(self.rows)} if self.rows else {}
