"""OpenAI's messages and tools as Anthropic's: system apart, blocks in turns, results of tools from the user."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from providers.backends.openai_protocol import text_of

DATA_URL = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.S)
Refuse = Callable[[str, str], Exception]
CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def system_of(messages: list[dict[str, Any]]) -> str:
    """All that the system and the developer say, wherever it stands."""
    said = [text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer")]
    return "\n\n".join(text for text in said if text.strip())


def turns_of(messages: list[dict[str, Any]], refuse: Refuse) -> list[dict[str, Any]]:
    """Turns of user and assistant. All results of one round of calls are in one turn, before the user's words."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            continue
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = blocks_of(message, refuse)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        last = turns[-1]["content"][-1]  # an answer that was begun must not end in blanks
        last["text"] = last["text"].rstrip() or "…"
    return turns


def blocks_of(message: dict[str, Any], refuse: Refuse) -> list[dict[str, Any]]:
    content = message.get("content")
    if message["role"] == "tool":
        result = {
            "type": "tool_result",
            "tool_use_id": message.get("tool_call_id", ""),
            "content": text_of(content),
        }
        return [result]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    blocks = [block for part in parts if (block := block_of(part, refuse))]
    return blocks + [use_of(made, refuse) for made in message.get("tool_calls") or []]


def block_of(part: dict[str, Any], refuse: Refuse) -> dict[str, Any] | None:
    """None for a text that is empty, which they refuse."""
    kind = part.get("type")
    if kind == "text":
        text = part.get("text") or ""
        return {"type": "text", "text": text} if text.strip() else None
    if kind == "image_url":
        url = (
            part["image_url"]["url"]
            if isinstance(part.get("image_url"), dict)
            else str(part.get("image_url"))
        )
        if found := DATA_URL.fullmatch(url):
            return {"type": "image", "source": {"type": "base64", "media_type": found[1], "data": found[2]}}
        return {"type": "image", "source": {"type": "url", "url": url}}
    raise refuse(f"Anthropic takes texts and pictures; a part is of the type {kind!r}.", "messages")


def use_of(made: dict[str, Any], refuse: Refuse) -> dict[str, Any]:
    function = made["function"]
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError as error:
        raise refuse(f"The arguments of {function.get('name')} are not JSON.", "messages") from error
    if not isinstance(arguments, dict):
        raise refuse(f"The arguments of {function.get('name')} are no JSON object.", "messages")
    return {"type": "tool_use", "id": made["id"], "name": function["name"], "input": arguments}


def tools_of(tools: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [
        {
            "name": tool["function"]["name"],
            "input_schema": tool["function"].get("parameters") or {"type": "object", "properties": {}},
        }
        | ({"description": text} if (text := tool["function"].get("description")) else {})
        for tool in tools or []
    ]


def choice_of(choice: str | dict[str, Any] | None, refuse: Refuse) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, dict):
        return {"type": "tool", "name": choice.get("function", {}).get("name", "")}
    if choice not in CHOICES:
        raise refuse(
            f"tool_choice is {choice!r}; it is auto, none, required, or names a function.", "tool_choice"
        )
    return {"type": CHOICES[choice]}
