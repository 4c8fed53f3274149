"""ChatML text: `{"text": "<|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n…<|im_end|>"}`.

A conversation that was rendered already. It is taken apart again, so that each base model sees it in its own
template and only the answers are learned.
"""

import re
from typing import Any

from .base import CHAT, BadRow, Example, Turn, excerpt, field, text_of
from .chat import ROLES
from .conversation import make_example

NAME = "chatml"
KIND = CHAT
SHAPE = '{"text": "<|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n…<|im_end|>"}'

START, END = "<|im_start|>", "<|im_end|>"
# What may stand between turns: white space, and the tokens by which a text begins and ends.
BETWEEN = re.compile(
    r"(?:\s++|<s>|</s>|<\|endoftext\|>|<bos>|<eos>)*+"
)  # possessive: nothing is kept to go back


def fits(record: dict[str, Any]) -> bool:
    """Whether the record is a text with turns marked in it."""
    text = record.get("text")
    return isinstance(text, str) and START in text and BETWEEN.match(text).end() == text.index(START)


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    return [make_example(read_chatml(text_of(field(record, "text", SHAPE), "“text”")), record, key)]


def read_chatml(text: str) -> list[Turn]:
    """The turns marked in a text; an open last turn without words (a prompt for an answer) is none. Raises BadRow."""
    before, *pieces = text.split(START)
    _refuse_outside(before, 0)
    turns: list[Turn] = []
    for number, piece in enumerate(pieces, 1):
        said, end, after = piece.partition(END)
        role, _, content = said.partition("\n")
        known = ROLES.get(role.strip().lower())
        if known is None:
            raise BadRow(
                f"Turn {number} has the role {excerpt(role, width=40)!r}, "
                "expected “system”, “user”, “assistant” or “tool”.",
                f"Write {START}user, a line break, and the text.",
                code="unknown_role",
            )
        if not end:
            if number < len(pieces):
                raise BadRow(
                    f"Turn {number} has no {END} at its end.", f"Close each turn with {END}.", code="bad_row"
                )
            if not content.strip():
                break
        _refuse_outside(after, number)
        turns.append(Turn(known, content if known == "tool" else content.strip()))
    return turns


def _refuse_outside(text: str, number: int) -> None:
    if BETWEEN.fullmatch(text) is None:
        where = f"after turn {number}" if number else "before the first turn"
        raise BadRow(
            f"There is text {where}, outside of {START} and {END}.",
            "Put every text into a turn, or leave it out.",
            excerpt(text.strip()),
        )
