"""ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`.

As used by FastChat, axolotl and LLaMA-Factory. A top-level `system` text comes first; lists that use
`role`/`content` under `conversations` are read as well.
"""

from typing import Any

from .base import BadRow, Example, Turn, excerpt, kind_of, make_example
from .chat import read_messages

NAME = "sharegpt"
SHAPE = '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}'

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
}


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has turns under `conversations`, and is not a file of conversations."""
    turns = record.get("conversations")
    if not isinstance(turns, list) or not turns:
        return False
    first = turns[0]
    return not isinstance(first, dict) or bool({"from", "value", "role", "content"} & first.keys())


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    turns = record["conversations"]
    system = [Turn("system", record["system"])] if isinstance(record.get("system"), str) else []
    if isinstance(turns[0], dict) and "role" in turns[0]:
        return [make_example(system + read_messages(turns), record)]
    return [make_example(system + [_turn(number, turn) for number, turn in enumerate(turns, 1)], record)]


def _turn(number: int, turn: Any) -> Turn:
    if not isinstance(turn, dict) or "from" not in turn or "value" not in turn:
        found = kind_of(turn) if not isinstance(turn, dict) else "an object without “from” or “value”"
        raise BadRow(
            f"Turn {number} is {found}, expected “from” and “value”.",
            'Write it as {"from": "human", "value": "…"}.',
        )
    speaker = turn["from"]
    role = SPEAKERS.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        raise BadRow(
            f"Turn {number} is from {excerpt(str(speaker), width=40)!r}, expected “human”, “gpt” or “system”.",
            "Rename the speaker, or leave out this example.",
        )
    return Turn(role, turn["value"])
