"""Chat rows: `{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}`.

OpenAI's shape, and TRL's "conversational language modeling". The same list under `turns` is read too.
Optional beside it: `split` ("train" or "held_out") and `conversation` (a key). An answer with `"weight": 0` is
context only, as in OpenAI's files.
"""

from typing import Any

from .base import BadRow, Example, Turn, excerpt, kind_of, make_example

NAME = "messages"
SHAPE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
}


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has a list of messages (or a broken one: then it is our fault to name)."""
    if "messages" in record:
        return True
    turns = record.get("turns")
    return isinstance(turns, list) and bool(turns) and all(isinstance(t, dict) and "role" in t for t in turns)


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    name = "messages" if "messages" in record else "turns"
    messages = record[name]
    if not isinstance(messages, list):
        raise BadRow(f"“{name}” is {kind_of(messages)}, expected a list.", f"Write it as {SHAPE}.")
    if not messages:
        raise BadRow(f"“{name}” is an empty list.", "Add a question and its answer, or leave out this line.")
    return [make_example(read_messages(messages), record)]


def read_messages(messages: list[Any]) -> list[Turn]:
    """The messages as turns, in our words for roles; raises BadRow."""
    turns = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict):
            raise BadRow(
                f"Message {number} is {kind_of(message)}, expected an object with role and content.",
                'Write it as {"role": "user", "content": "…"}.',
            )
        for key in ("role", "content"):
            if key not in message:
                raise BadRow(
                    f"Message {number} has no “{key}”; it has {_keys(message)}.",
                    'Write it as {"role": "user", "content": "…"}.',
                )
        role = ROLES.get(message["role"].strip().lower()) if isinstance(message["role"], str) else None
        if role is None:
            raise BadRow(
                f"Message {number} has the role {excerpt(str(message['role']), width=40)!r}, "
                "expected “system”, “user” or “assistant”.",
                "Rename the role, or leave out this example.",
            )
        weight = 0 if role == "assistant" and message.get("weight") == 0 else 1
        turns.append(Turn(role, message["content"], weight))
    return turns


def _keys(message: dict[str, Any]) -> str:
    return ", ".join(f"“{excerpt(str(key), width=30)}”" for key in list(message)[:5]) or "nothing"
