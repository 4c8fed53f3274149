"""Chat rows: `{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}`.

OpenAI's shape, and TRL's "conversational language modeling": with `tools`, `tool_calls` and role `tool`, with the
older `functions` and `function_call`, and with role `developer`. Optional beside it: `split` ("train" or
"held_out") and `conversation` (a key). An answer with `"weight": 0` is context only.
"""

from typing import Any

from .base import CHAT, BadRow, Example, Turn, excerpt, field, kind_of
from .conversation import make_example
from .tools import calls_of

NAME = "messages"
KIND = CHAT
SHAPE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
MESSAGE = '{"role": "user", "content": "…"}'

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
    "observation": "tool",
}


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has messages (or broken ones: then it is our fault to name)."""
    return "messages" in record


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    return [make_example(read_list(field(record, "messages", SHAPE), "messages"), record, key)]


def read_list(messages: Any, name: str) -> list[Turn]:
    """What stands under `name`, a list of messages, as turns; raises BadRow."""
    if isinstance(messages, str) and messages.lstrip()[:1] in ("[", "{"):
        raise BadRow(
            f"“{name}” holds JSON inside a string, expected the list itself.",
            "Write the list without quotes around it; in Python, put it in as it is, not as json.dumps(…).",
            excerpt(messages),
            "double_encoded",
        )
    if not isinstance(messages, list):
        code = "null_content" if messages is None else "wrong_type"
        raise BadRow(f"“{name}” is {kind_of(messages)}, expected a list.", f"Write it as {SHAPE}.", code=code)
    if not messages:
        mend = "Add a question and its answer, or leave out this line."
        raise BadRow(f"“{name}” is an empty list.", mend, code="no_messages")
    return read_messages(messages)


def is_messages(value: Any) -> bool:
    """Whether a value is a list of messages with roles."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]


def read_messages(messages: list[Any]) -> list[Turn]:
    """The messages as turns, in our words for roles; raises BadRow."""
    return [_turn(message, number) for number, message in enumerate(messages, 1)]


def _turn(message: Any, number: int) -> Turn:
    if not isinstance(message, dict):
        raise BadRow(
            f"Message {number} is {kind_of(message)}, expected an object with role and content.",
            f"Write it as {MESSAGE}.",
            code="wrong_type",
        )
    if "role" not in message:
        raise _missing("role", message, number)
    role = ROLES.get(message["role"].strip().lower()) if isinstance(message["role"], str) else None
    if role is None:
        raise BadRow(
            f"Message {number} has the role {excerpt(str(message['role']), width=40)!r}, "
            "expected “system”, “user”, “assistant” or “tool”.",
            "Rename the role, or leave out this example.",
            code="unknown_role",
        )
    content = message.get("content")
    if role == "assistant":
        calls = calls_of(message, number)
        if content is None and calls:
            content = ""
        elif content is None and isinstance(message.get("refusal"), str):
            content = message["refusal"]
        elif "content" not in message:
            raise _missing("content", message, number)
        return Turn(role, content, _weight(message, number), calls, name=_name(message))
    if "content" not in message:
        raise _missing("content", message, number)
    if role == "tool":
        identity = message.get("tool_call_id")
        return Turn(
            role, content, tool_call_id=identity if isinstance(identity, str) else "", name=_name(message)
        )
    return Turn(role, content, name=_name(message) if role == "user" else "")


def _weight(message: dict[str, Any], number: int) -> int:
    weight = message.get("weight")
    if weight is None:
        return 1
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight not in (0, 1):
        raise BadRow(
            f"The weight of message {number} is {excerpt(str(weight), width=40)}, expected 0 or 1.",
            'Write "weight": 1 for an answer to learn, "weight": 0 for one that is context.',
            code="bad_weight",
        )
    return int(weight)


def _name(message: dict[str, Any]) -> str:
    name = message.get("name")
    return excerpt(name, width=64) if isinstance(name, str) else ""


def _missing(key: str, message: dict[str, Any], number: int) -> BadRow:
    names = ", ".join(f"“{excerpt(str(name), width=30)}”" for name in list(message)[:5]) or "nothing"
    return BadRow(
        f"Message {number} has no “{key}”; it has {names}.", f"Write it as {MESSAGE}.", code="missing_field"
    )
