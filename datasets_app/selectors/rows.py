"""One stored row as a page shows it, whatever its kind."""

import json
from collections.abc import Iterable
from typing import Any

from datasets_app.models import Kind

ANSWERS = {Kind.PREFERENCE: ("chosen", "rejected"), Kind.UNPAIRED: ("completion",)}


def shown_row(row: dict[str, Any], kind: str) -> dict[str, Any]:
    """What templates/datasets_app/_preview.html shows of a row.

    `turns`: its messages (of a preference, those before the answers), each with `learned` and `calls`; `answers`:
    of what is compared or marked, `{"side", "turns"}` each, side "chosen", "rejected", "good" or "bad"; `text`: of a
    plain text; `tools`: name and description of each tool.
    """
    answers = []
    for name in ANSWERS.get(kind, ()):
        side = name if kind == Kind.PREFERENCE else "good" if row.get("label") else "bad"
        answers.append({"side": side, "turns": _turns(row.get(name, ()), learned=False)})
    is_chat = not answers
    return {
        "turns": _turns(row.get("messages" if is_chat else "prompt", ()), learned=is_chat),
        "answers": answers,
        "text": row.get("text", ""),
        "tools": [_tool(tool) for tool in row.get("tools") or ()],
    }


def is_learned(message: dict) -> bool:
    """Whether training learns this message: every answer but those marked as context."""
    return message["role"] == "assistant" and message.get("weight", 1) != 0


def _turns(messages: Iterable[dict[str, Any]], *, learned: bool) -> list[dict[str, Any]]:
    return [
        {
            **message,
            "learned": learned and is_learned(message),
            "calls": [_call(call) for call in message.get("tool_calls") or ()],
        }
        for message in messages
    ]


def _call(call: dict[str, Any]) -> dict[str, str]:
    function = call.get("function") or {}
    arguments = function.get("arguments", "")
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        arguments = json.dumps(value, ensure_ascii=False, indent=1) if value else ""
    except ValueError:
        pass  # shown as it is
    return {"name": str(function.get("name", "")), "arguments": arguments}


def _tool(tool: dict[str, Any]) -> dict[str, str]:
    function = tool.get("function") or tool
    return {"name": str(function.get("name", "")), "description": str(function.get("description") or "")}
