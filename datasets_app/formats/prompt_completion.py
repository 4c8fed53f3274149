"""Prompt and completion: `{"prompt": "…", "completion": "…"}`, each a text or a list of messages.

Other usual names of such a pair are read too (question/answer, input/output, …). Only the completion is learned:
answers among the messages of a prompt are context.
"""

from typing import Any

from . import alpaca
from .base import CHAT, BadRow, Example, Turn, full_text
from .chat import is_messages, read_messages
from .conversation import make_example

NAME = "prompt-completion"
KIND = CHAT
SHAPE = '{"prompt": "…", "completion": "…"}'

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
    ("user", "assistant"),
)


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has both names of one of PAIRS."""
    return pair_of(record) is not None


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    pair = pair_of(record)
    if pair is None:
        raise BadRow("The question or the answer is missing.", f"Write it as {SHAPE}.", code="missing_field")
    asked, answered = pair
    turns = [*prompt_turns(record, asked), *turns_of(record[answered], "assistant", answered)]
    return [make_example(turns, record, key)]


def pair_of(record: dict[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if pair[0] in record and pair[1] in record), None)


def prompt_turns(record: dict[str, Any], name: str) -> list[Turn]:
    """Instructions, earlier turns and what is asked; answers among its messages are context. Raises BadRow."""
    asked = [turn._replace(weight=0) for turn in turns_of(record[name], "user", name)]
    return alpaca.turns_before(record) + asked


def turns_of(value: Any, role: str, name: str) -> list[Turn]:
    """A text, one message or a list of messages as turns; a text is said by `role`. Raises BadRow."""
    if isinstance(value, dict) and "role" in value:
        value = [value]
    if is_messages(value):
        return read_messages(value)
    return [Turn(role, full_text(value, name, "question" if role == "user" else "answer"))]
