"""A row as the fields of a page, and back: every message a role and a text, and what else it holds kept as it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from datasets_app.curation.edits import BadEdit
from datasets_app.curation.row_keys import CONTENT, kind_of_content

LISTS = ("messages", "prompt", "chosen", "rejected", "completion")
TURNS_MOST = 400


@dataclass(frozen=True)
class TurnFields:
    """One message. `rest` is JSON of all that is neither role nor content; `is_learned` counts for answers only."""

    role: str
    content: str
    rest: str = "{}"
    is_learned: bool = True


@dataclass(frozen=True)
class RowFields:
    """`sections` are lists of messages by name; `text` and `label` are there for rows of these kinds."""

    sections: dict[str, list[TurnFields]]
    text: str | None = None
    label: str | None = None
    tools: str | None = None
    split: str = "train"


def fields_of(row: dict[str, Any]) -> RowFields:
    names = CONTENT[kind_of_content(row)]
    return RowFields(
        sections={name: [_turn(message) for message in row[name]] for name in names if name in LISTS},
        text=row.get("text"),
        label=str(row["label"]).lower() if "label" in names else None,
        tools=_json(row["tools"]) if row.get("tools") else None,
        split=row["split"],
    )


def _turn(message: dict[str, Any]) -> TurnFields:
    rest = {name: value for name, value in message.items() if name not in ("role", "content", "weight")}
    return TurnFields(
        message["role"], message.get("content") or "", _json(rest), message.get("weight", 1) != 0
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def fields_sent(post: Mapping[str, str], row: dict[str, Any]) -> RowFields:
    """What the page sent for `row`: the same sections, with as many messages as it says. Never raises."""
    before = fields_of(row)
    return RowFields(
        sections={name: _turns_sent(post, name) for name in before.sections},
        text=None if before.text is None else _lines(post.get("text", "")),
        label=None if before.label is None else post.get("label", before.label),
        tools=None if before.tools is None else post.get("tools", before.tools),
        split=post.get("split", before.split),
    )


def _turns_sent(post: Mapping[str, str], name: str) -> list[TurnFields]:
    text = post.get(f"{name}-count", "0")
    count = min(int(text), TURNS_MOST) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return [
        TurnFields(
            role=post.get(f"{name}-{number}-role", ""),
            content=_lines(post.get(f"{name}-{number}-content", "")),
            rest=post.get(f"{name}-{number}-rest", "{}"),
            # The box is there only for what was an answer already; what becomes one is learned.
            is_learned=f"{name}-{number}-learned" in post or post.get(f"{name}-{number}-was") != "assistant",
        )
        for number in range(count)
    ]


def _lines(text: str) -> str:
    """Browsers send line ends as CR LF, whatever the row had."""
    return text.replace("\r\n", "\n")


def content_sent(fields: RowFields) -> dict[str, Any]:
    """The content of the row that the fields describe; not yet checked. Raises BadEdit for broken JSON in them."""
    content: dict[str, Any] = {
        name: [_message(turn) for turn in turns] for name, turns in fields.sections.items()
    }
    if fields.text is not None:
        content["text"] = fields.text
    if fields.label is not None:
        content["label"] = fields.label == "true"
    if fields.tools is not None and fields.tools.strip():
        content["tools"] = _decoded(fields.tools, "tools", list)
    return content


def _message(turn: TurnFields) -> dict[str, Any]:
    rest = _decoded(turn.rest, "the rest of a message", dict)
    weight = {} if turn.is_learned or turn.role != "assistant" else {"weight": 0}
    return {**rest, "role": turn.role, "content": turn.content, **weight}


def _decoded(text: str, what: str, kind: type) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadEdit(f"What stands for {what} is no JSON that can be read: {problem}.") from problem


def with_turn(fields: RowFields, name: str) -> RowFields:
    """With one more message at the end of a section, of whoever's turn it is."""
    turns = fields.sections.get(name)
    if turns is None or len(turns) >= TURNS_MOST:
        return fields
    role = "user" if turns and turns[-1].role == "assistant" else "assistant"
    return _with_section(fields, name, [*turns, TurnFields(role, "")])


def without_turn(fields: RowFields, place: str) -> RowFields:
    """Without the message that `place` (as `messages-2`) names; as it was if it names none."""
    name, _dash, number = place.rpartition("-")
    turns = fields.sections.get(name)
    if turns is None or not number.isascii() or not number.isdigit():
        return fields
    return _with_section(fields, name, [turn for n, turn in enumerate(turns) if n != int(number)])


def _with_section(fields: RowFields, name: str, turns: list[TurnFields]) -> RowFields:
    sections = {**fields.sections, name: turns}
    return RowFields(sections, fields.text, fields.label, fields.tools, fields.split)
