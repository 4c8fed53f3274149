"""The texts inside a row, whatever its kind. No Django inside."""

from collections.abc import Callable, Iterator
from typing import Any

LISTS = ("messages", "prompt", "chosen", "rejected", "completion")


def texts_of(row: dict[str, Any], roles: frozenset[str] | None = None) -> Iterator[str]:
    """Every text of a row in order; with `roles` those of these roles only (a plain text has none, and counts)."""
    if isinstance(row.get("text"), str):
        yield row["text"]
    for name in LISTS:
        for message in row.get(name) or ():
            if isinstance(message.get("content"), str) and (roles is None or message["role"] in roles):
                yield message["content"]


def with_texts(row: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A copy of the row in which `change` has been applied to every text, those of tool calls included."""
    copy = dict(row)
    if isinstance(row.get("text"), str):
        copy["text"] = change(row["text"])
    for name in LISTS:
        if isinstance(row.get(name), list):
            copy[name] = [_changed(message, change) for message in row[name]]
    return copy


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """A message with its content and the arguments of its tool calls changed, all else as it was."""
    message = dict(value)
    if isinstance(message.get("content"), str):
        message["content"] = change(message["content"])
    if message.get("tool_calls"):
        message["tool_calls"] = [_changed_call(call, change) for call in message["tool_calls"]]
    return message


def _changed_call(call: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    if isinstance(function.get("arguments"), str):
        function["arguments"] = change(function["arguments"])
    return {**call, "function": function}
