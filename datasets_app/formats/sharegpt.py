"""ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`.

As used by FastChat, axolotl and LLaMA-Factory, with their tools (`function_call`, then `observation`); and as
ms-swift has it, in pairs: `{"conversation": [{"human": "…", "assistant": "…"}]}`. A top-level `system` text comes
first; lists that use `role`/`content` are read as well.
"""

from typing import Any

from .base import CHAT, BadRow, Example, Turn, excerpt, kind_of, text_of
from .chat import is_messages, read_messages
from .conversation import make_example
from .tools import read_calls_text

NAME = "sharegpt"
KIND = CHAT
SHAPE = '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}'
TURN = '{"from": "human", "value": "…"}'

LISTS = ("conversations", "conversation", "messages", "dialog", "dialogue")
SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "observation": "tool",
    "tool": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "function": "tool",
}
# The two sides of a pair, as ms-swift and its kin name them.
PAIRS = (("human", "assistant"), ("user", "assistant"), ("query", "response"), ("input", "output"))


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has turns under one of LISTS, and is not a file of conversations."""
    return _list_of(record) is not None


def _list_of(record: dict[str, Any]) -> str | None:
    for name in LISTS:
        turns = record.get(name)
        if not isinstance(turns, list) or not turns:
            continue
        first = turns[0]
        if not isinstance(first, dict):
            if name == "conversations":
                return name
        elif {"from", "value"} & first.keys() or (
            name != "messages" and (_pair_in(first) or "role" in first)
        ):
            return name
    return None


def _pair_in(turn: dict[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if pair[0] in turn and pair[1] in turn), None)


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    system = [Turn("system", record["system"])] if isinstance(record.get("system"), str) else []
    return [make_example(system + turns_in(record), record, key)]


def turns_in(record: dict[str, Any]) -> list[Turn]:
    """The turns of a record, under whichever of LISTS they stand; raises BadRow."""
    name = _list_of(record)
    if name is None:
        raise BadRow("There are no turns in “conversations”.", f"Write it as {SHAPE}.", code="no_messages")
    return read_turns(record[name])


def read_turns(turns: list[Any]) -> list[Turn]:
    """The turns in our words for roles, whichever of the shapes they have; raises BadRow."""
    if is_messages(turns):
        return read_messages(turns)
    if isinstance(turns[0], dict) and _pair_in(turns[0]) and "from" not in turns[0]:
        return [turn for number, pair in enumerate(turns, 1) for turn in _of_pair(number, pair)]
    return [read_turn(number, turn) for number, turn in enumerate(turns, 1)]


def _of_pair(number: int, turn: Any) -> list[Turn]:
    pair = _pair_in(turn) if isinstance(turn, dict) else None
    if pair is None:
        found = kind_of(turn) if not isinstance(turn, dict) else "an object without one of the two"
        raise BadRow(
            f"Turn {number} is {found}, expected a question and its answer.",
            'Write it as {"human": "…", "assistant": "…"}.',
            code="missing_field",
        )
    system = [Turn("system", turn["system"])] if number == 1 and isinstance(turn.get("system"), str) else []
    return [*system, Turn("user", turn[pair[0]]), Turn("assistant", turn[pair[1]])]


def read_turn(number: int, turn: Any) -> Turn:
    """One turn with “from” and “value”; raises BadRow."""
    if not isinstance(turn, dict) or "from" not in turn or "value" not in turn:
        found = kind_of(turn) if not isinstance(turn, dict) else "an object without “from” or “value”"
        raise BadRow(
            f"Turn {number} is {found}, expected “from” and “value”.",
            f"Write it as {TURN}.",
            code="missing_field",
        )
    speaker = turn["from"]
    role = SPEAKERS.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        raise BadRow(
            f"Turn {number} is from {excerpt(str(speaker), width=40)!r}, expected “human”, “gpt” or “system”.",
            "Rename the speaker, or leave out this example.",
            code="unknown_role",
        )
    value = turn["value"]
    if role == "call":
        text = text_of(value, f"turn {number}")
        return Turn("assistant", "", _weight(turn), read_calls_text(text, f"The tool call in turn {number}"))
    return Turn(role, value, _weight(turn) if role == "assistant" else 1)


def _weight(turn: dict[str, Any]) -> int:
    return 0 if turn.get("weight") == 0 else 1
