"""Whether a row that somebody edited is still a row."""

from typing import Any

import msgspec

from datasets_app.formats.base import CHAT, PREFERENCE, TEXT, UNPAIRED

from .row_keys import CONTENT, content_of, kind_of_content

ROLES = ("system", "user", "assistant", "tool")
EDIT_LIMIT = 2 * 1024 * 1024  # bytes of a row as JSON


class BadEdit(ValueError):
    """The row as it was edited cannot be kept; `str()` says what was found and what to do."""


def check_edit(edited: Any, original: dict[str, Any]) -> dict[str, Any] | None:
    """The content of `edited`, or None when it says the same as `original`. Raises BadEdit."""
    if not isinstance(edited, dict):
        raise BadEdit(f"The edited row is {type(edited).__name__}, expected an object like the row itself.")
    kind = kind_of_content(original)
    unknown = set(edited) - set(CONTENT[kind])
    if unknown:
        listed = ", ".join(sorted(str(name)[:40] for name in unknown))
        raise BadEdit(f"The edited row holds {listed}; a row of this kind has {', '.join(CONTENT[kind])}.")
    for name in CONTENT[kind]:
        if name != "tools" and name not in edited:
            raise BadEdit(f"The edited row has no “{name}”. Send the whole row, with what you changed.")
    CHECKS[kind](edited)
    if len(msgspec.json.encode(edited)) > EDIT_LIMIT:
        raise BadEdit("The edited row is larger than 2 MB. Shorten it.")
    content = content_of(edited)
    return None if content == content_of(original) else content


def _check_chat(row: dict[str, Any]) -> None:
    messages = _check_messages(row["messages"], "messages")
    if messages[-1]["role"] != "assistant":
        raise BadEdit("The last message must be the assistant's: that is what is learned.")


def _check_text(row: dict[str, Any]) -> None:
    if not isinstance(row["text"], str) or not row["text"].strip():
        raise BadEdit("The text is empty. Fill it in, or reject the row.")


def _check_preference(row: dict[str, Any]) -> None:
    for name in ("prompt", "chosen", "rejected"):
        _check_messages(row[name], name)
    if row["chosen"] == row["rejected"]:
        raise BadEdit("Both answers are the same, so there is nothing to prefer. Change one of them.")


def _check_unpaired(row: dict[str, Any]) -> None:
    for name in ("prompt", "completion"):
        _check_messages(row[name], name)
    if not isinstance(row["label"], bool):
        raise BadEdit(f"“label” is {row['label']!r}, expected true or false.")


CHECKS = {CHAT: _check_chat, TEXT: _check_text, PREFERENCE: _check_preference, UNPAIRED: _check_unpaired}


def _check_messages(messages: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise BadEdit(f"“{name}” holds no messages. Keep at least one, or reject the row.")
    for number, message in enumerate(messages, 1):
        where = f"Message {number} of “{name}”"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise BadEdit(f"{where} has no role out of {', '.join(ROLES)}.")
        content = message.get("content")
        if message.get("tool_calls") and content in (None, ""):
            continue
        if not isinstance(content, str) or not content.strip():
            raise BadEdit(f"{where} is empty. Fill it in, or reject the row.")
    return messages
