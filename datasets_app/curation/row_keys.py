"""What a row is, apart from where it stands: the key by which a review finds it again in any version."""

import hashlib
from typing import Any

import msgspec

from datasets_app.formats.base import CHAT, PREFERENCE, TEXT, UNPAIRED

# What a row holds beside conversation, line and split, by its kind (docs/architecture.md, "Rows").
CONTENT: dict[str, tuple[str, ...]] = {
    CHAT: ("messages", "tools"),
    TEXT: ("text",),
    PREFERENCE: ("prompt", "chosen", "rejected", "tools"),
    UNPAIRED: ("prompt", "completion", "label", "tools"),
}
# The field that only this kind has.
MARKS = {CHAT: "messages", TEXT: "text", PREFERENCE: "chosen", UNPAIRED: "completion"}
_encode = msgspec.json.Encoder(order="sorted").encode


def kind_of_content(row: dict[str, Any]) -> str:
    """`"chat"`, `"text"`, `"preference"` or `"unpaired"`. Raises ValueError that names what the row holds."""
    for kind, mark in MARKS.items():
        if mark in row:
            return kind
    names = ", ".join(str(name)[:40] for name in list(row)[:5]) or "nothing"
    raise ValueError(f"This is no row of a known kind: it holds {names}.")


def content_of(row: dict[str, Any]) -> dict[str, Any]:
    """The row without line, split, conversation and whatever else says where it came from.

    An empty list of tools says nothing, nor does a weight of 1 or one of what is never learned; they are left out.
    """
    kept = {name: row[name] for name in CONTENT[kind_of_content(row)] if row.get(name) not in (None, [])}
    if "messages" in kept:
        kept["messages"] = [without_idle_weight(each) for each in kept["messages"]]
    return kept


def without_idle_weight(message: dict[str, Any]) -> dict[str, Any]:
    if "weight" in message and (message["weight"] == 1 or message["role"] != "assistant"):
        return {name: value for name, value in message.items() if name != "weight"}
    return message


def row_key(row: dict[str, Any]) -> str:
    """sha256 (64 hex digits) of the row's content, the same in every version that holds it."""
    return hashlib.sha256(_encode(content_of(row))).hexdigest()
