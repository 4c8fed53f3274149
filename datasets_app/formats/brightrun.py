"""`brightrun-lora-v4`: coaching conversations cut into training pairs, each with its history.

Comes as one JSON object (conversations → training_pairs), as the file of a single conversation
(`training_pairs` at the top), or as JSONL with a `_meta` line first. What real files ask of a reader:

- every pair of the client's turns has a null target: those are skipped, not faulty;
- the last turn of the history repeats `current_user_input`: the person's turn is kept once;
- pair ids and the slug `conversation_id` repeat across conversations: the uuid is the key;
- each earlier answer is the target of its own pair, so here it is context only (weight 0);
- header counts, enums and scores are often wrong: nothing is decided by them.
"""

import re
from dataclasses import replace
from typing import Any

from .base import CHAT, BadRow, Example, Skipped, Turn, excerpt, full_text, kind_of, text_of
from .chat import ROLES
from .conversation import make_example

NAME = "brightrun-lora-v4"
KIND = CHAT
SHAPE = (
    '{"system_prompt": "…", "conversation_history": […], "current_user_input": "…", "target_response": "…"}'
)

NO_TARGET = "turns without an answer to learn from"


def fits(record: dict[str, Any]) -> bool:
    """Whether the record is a training pair."""
    return "current_user_input" in record and (
        "target_response" in record or "conversation_history" in record
    )


def version_warning(metadata: Any) -> tuple[str, str] | None:
    """A word about a `format_spec` that is not v4, from a file's metadata or `_meta` line."""
    spec = metadata.get("format_spec") if isinstance(metadata, dict) else None
    if not isinstance(spec, str) or spec == NAME:
        return None
    return (
        f"The file says it is {excerpt(spec, width=40)!r}; it was read as {NAME}, which has the same structure.",
        "Look at the preview: if it reads well, nothing is to be done.",
    )


def count_warnings(metadata: Any, pairs: int, conversations: int) -> list[BadRow]:
    """Words about a header that counts otherwise than the file holds. Nothing else is decided by it."""
    counted = (
        ("total_training_pairs", pairs, "training pairs"),
        ("total_conversations", conversations, "conversations"),
    )
    found = []
    for name, count, what in counted:
        said = metadata.get(name) if isinstance(metadata, dict) else None
        # Raw conversations have not been cut into pairs yet.
        if isinstance(said, int) and said != count and (pairs or name == "total_conversations"):
            problem = f"The header counts {said:,} {what} (“{name}”); the file holds {count:,}."
            mend = (
                "What is there was read. If more was meant to be in it, look whether the export was cut off."
            )
            found.append(BadRow(problem, mend, code="wrong_count"))
    return found


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """A training pair as system, history, the person's turn once, and the answer.

    `key` is the uuid from around the pair, where there is one. Raises Skipped for a pair without
    a target, BadRow for a broken one.
    """
    target = record.get("target_response")
    if target is None or (isinstance(target, str) and not target.strip()):
        raise Skipped(NO_TARGET)
    answer = text_of(target, "“target_response”").strip()
    asked = full_text(record.get("current_user_input"), "current_user_input", "turn of the person")
    history = _history(record.get("conversation_history"))
    if history and history[-1].role == "user" and history[-1].content.strip() == asked:
        history.pop()
    system = record.get("system_prompt")
    turns: list[Turn] = []
    if system is not None:
        turns.append(Turn("system", text_of(system, "“system_prompt”").strip()))
    example = make_example([*turns, *history, Turn("user", asked), Turn("assistant", answer)], record, key)
    damage = _damage(answer) or _damage_before(history)
    return [replace(example, warnings=example.warnings + damage)]


def _history(history: Any) -> list[Turn]:
    if history is None:
        return []
    if not isinstance(history, list):
        raise BadRow(
            f"“conversation_history” is {kind_of(history)}, expected a list.",
            "Write it as a list of turns.",
            code="wrong_type",
        )
    turns = []
    for number, item in enumerate(history, 1):
        if not isinstance(item, dict):
            raise BadRow(
                f"Turn {number} of the history is {kind_of(item)}, expected an object.",
                'Write it as {"turn": 1, "role": "user", "content": "…"}.',
                code="wrong_type",
            )
        content = item.get("content")
        if content is None or (isinstance(content, str) and not content.strip()):
            continue
        role = ROLES.get(str(item.get("role", "user")).lower())
        if role not in ("user", "assistant"):
            raise BadRow(
                f"Turn {number} of the history has the role {excerpt(str(item.get('role')), width=40)!r}, "
                "expected “user” or “assistant”.",
                "Rename the role, or leave out this pair.",
                code="unknown_role",
            )
        weight = 0 if role == "assistant" else 1
        turns.append(Turn(role, text_of(content, f"turn {number} of the history"), weight))
    return turns


def _damage(answer: str) -> tuple[BadRow, ...]:
    """Traces of a careless export that real files carry."""
    found = []
    if re.search(r"(?<!\\)\\$", answer):
        found.append(
            BadRow(
                "The answer stops in the middle: it ends in a lone backslash, and the text after a quotation "
                f"mark was lost: {excerpt(answer[-60:])}",
                "Finish the answer, or end it at the last whole sentence.",
                code="cut_text",
            )
        )
    if "\\n" in answer:
        found.append(
            BadRow(
                "A line break became the two characters \\n; it would learn to write them to people: "
                + excerpt(answer, answer.index("\\n"), 60),
                "Replace \\n by a real line break.",
                code="literal_line_break",
            )
        )
    return tuple(found)


def _damage_before(history: list[Turn]) -> tuple[BadRow, ...]:
    """The same of the turns before: they are read, not learned, so one word for all of them will do."""
    for number, turn in enumerate(history, 1):
        if "\\n" in turn.content:
            problem = f"In turn {number} of the history a line break became the two characters \\n: "
            shown = excerpt(turn.content, turn.content.index("\\n"), 60)
            mend = "Replace \\n by a real line break."
            return (BadRow(problem + shown, mend, code="literal_line_break"),)
    return ()
