"""Prompt and completion: `{"prompt": "…", "completion": "…"}`, each a text or a list of messages.

Other usual names of such a pair are read too (question/answer, input/output, …). A row that carries
`"label": false` (TRL's "unpaired preference") is an answer somebody disliked, so it is skipped.
"""

from typing import Any

from .base import BadRow, Example, Skipped, Turn, make_example, text_of
from .chat import read_messages

NAME = "prompt-completion"
SHAPE = '{"prompt": "…", "completion": "…"}'

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
    ("user", "assistant"),
)


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has both names of one of PAIRS."""
    return _pair(record) is not None


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow, or Skipped for a disliked answer."""
    pair = _pair(record)
    if pair is None:
        raise BadRow("The question or the answer is missing.", f"Write it as {SHAPE}.")
    if record.get("label") is False:
        raise Skipped("marked as a bad answer (label is false)")
    asked, answered = pair
    turns = _turns(record[asked], "user", asked) + _turns(record[answered], "assistant", answered)
    if record.get("system"):
        turns.insert(0, Turn("system", text_of(record["system"], "“system”").strip()))
    return [make_example(turns, record)]


def _pair(record: dict[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if pair[0] in record and pair[1] in record), None)


def _turns(value: Any, role: str, key: str) -> list[Turn]:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        return read_messages(value)
    text = text_of(value, f"“{key}”").strip()
    if not text:
        what = "question" if role == "user" else "answer"
        raise BadRow(f"“{key}” is empty: there is no {what}.", "Fill it in, or leave out this example.")
    return [Turn(role, text)]
