"""What every row must bear: texts that can be kept, and a key for those that ask the same."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from datasets_app.checking.texts import texts_of
from datasets_app.formats.base import CHAT, BadRow, excerpt

# Characters that no text needs; tab, line feed and carriage return are none of them.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_encode = msgspec.json.Encoder().encode


def refuse_odd_characters(row: dict[str, Any]) -> Iterator[BadRow]:
    """A warning about control characters in a text; raises BadRow for a NUL, which no database takes."""
    found = None
    for text in texts_of(row):
        if match := CONTROL.search(text):
            if "\x00" in text:
                raise BadRow(
                    "A text holds a NUL character (\\u0000).",
                    "Leave out the NUL characters.",
                    excerpt(text, text.index("\x00")),
                    "nul_character",
                )
            found = found or (text, match)
    if found:
        text, match = found
        yield BadRow(
            f"A text holds the control character \\u{ord(match[0]):04x}, which nobody can see; it would be learned.",
            "Leave it out, unless it is meant.",
            excerpt(text, match.start()),
            "control_character",
        )


def key_of(kind: str, content: dict[str, Any]) -> str:
    """Rows that ask the same thing count as one conversation, so that no test question was learned from.

    Raises BadRow for what no file of rows can hold.
    """
    if kind == CHAT:
        asked: Any = content["messages"][:-1]
    else:
        asked = content.get("prompt") or content.get("text") or content
    try:
        _encode(content)
        return hashlib.blake2b(_encode(asked), digest_size=9).hexdigest()
    except (OverflowError, RecursionError, TypeError, ValueError) as problem:
        raise BadRow(
            f"It holds a value that cannot be kept ({excerpt(str(problem), width=80)}).",
            "Leave it out, or write it as text.",
        ) from problem
