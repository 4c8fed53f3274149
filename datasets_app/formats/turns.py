"""Turns: `{"conversation_id": "…", "turns": [{"role": "user", "content": "…"}, …]}`.

Conversations as transcripts and chat programs keep them. Names other than “role” and “content” that are usual
there are read too (`speaker`, `text`), and what the two sides are called in advice and in service.
"""

from typing import Any

from .base import CHAT, BadRow, Example, Turn, conversation_of, field, kind_of
from .chat import ROLES, read_messages
from .conversation import make_example

NAME = "turns"
KIND = CHAT
SHAPE = '{"turns": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'

WHO = ("role", "speaker", "from")
SAYS = ("content", "text", "value", "message", "utterance")
SPEAKERS = {
    **{role: role for role in ROLES},
    "client": "user", "customer": "user", "patient": "user", "student": "user", "caller": "user",
    "agent": "assistant", "consultant": "assistant", "coach": "assistant", "advisor": "assistant",
    "therapist": "assistant", "teacher": "assistant", "bot": "assistant", "gpt": "assistant",
}  # fmt: skip


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has turns that tell who speaks."""
    turns = record.get("turns")
    return isinstance(turns, list) and bool(turns) and all(isinstance(turn, dict) for turn in turns[:3])


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow. Without a key of its own, that of its metadata counts."""
    turns = field(record, "turns", SHAPE)
    if not isinstance(turns, list) or not turns:
        raise BadRow(
            f"“turns” is {kind_of(turns)}, expected turns in it.", f"Write it as {SHAPE}.", code="no_messages"
        )
    metadata = record.get("conversation_metadata") or record.get("metadata")
    if conversation_of(record) is None and isinstance(metadata, dict):
        key = key or conversation_of(metadata)
    return [make_example(read_turns(turns), record, key)]


def read_turns(turns: list[Any]) -> list[Turn]:
    """The turns under our names and roles; raises BadRow."""
    return read_messages([_message(turn) for turn in turns])


def _message(turn: Any) -> Any:
    if not isinstance(turn, dict):
        return turn
    made = dict(turn)
    for name, others in (("role", WHO), ("content", SAYS)):
        found = next((other for other in others if other in turn), None)
        if found is not None:
            made[name] = turn[found]
    if isinstance(made.get("role"), str):
        role = made["role"].strip().lower()
        made["role"] = SPEAKERS.get(role, made["role"])
    return made
