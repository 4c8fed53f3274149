"""Tool calls as a chat template takes them: the convention of transformers is arguments as an object."""

import json
from typing import Any

from rendering.errors import RenderError
from rendering.template import ChatTemplate


def fitted(template: ChatTemplate, messages: list[dict], variables: dict[str, Any]) -> list[dict]:
    """`messages` with their calls written so that `template` takes them.

    Arguments come as JSON text, as OpenAI has them. Most templates want an object; some join texts; Mistral's ask
    for ids of nine letters or digits. Raises RenderError with the template's own words when none of these does.
    """
    if not any(message.get("tool_calls") or message.get("role") == "tool" for message in messages):
        return messages
    as_objects = [_with_objects(message) for message in messages]
    first: RenderError | None = None
    for attempt in (as_objects, messages, _with_short_ids(as_objects)):
        try:
            template.render(attempt, add_generation_prompt=False, **variables)
            return attempt
        except RenderError as error:
            first = first or error
    assert first is not None
    raise first


def check_calls(calls: Any, number: int) -> None:
    """Raises RenderError unless `calls` are in OpenAI's shape: each a function with its name."""
    for call in calls if isinstance(calls, list) else [str(calls)]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RenderError(
                f"A tool call in message {number} is {str(call)[:60]!r}, not a function with its name."
            )


def _with_objects(message: dict) -> dict:
    if not message.get("tool_calls"):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                function = {**function, "arguments": json.loads(arguments)}
            except ValueError as error:
                name = str(function.get("name"))[:40]
                raise RenderError(f"The arguments of the call of {name} are not JSON: {error}") from error
        calls.append({**call, "function": function})
    return {**message, "tool_calls": calls}


def _with_short_ids(messages: list[dict]) -> list[dict]:
    """The same with ids of nine letters and digits, one for each there was."""
    ids: dict[str, str] = {}

    def short(identity: Any) -> str:
        return ids.setdefault(str(identity), f"call{len(ids) + 1:05d}")

    made = []
    for message in messages:
        if message.get("tool_calls"):
            calls = [{**call, "id": short(call.get("id"))} for call in message["tool_calls"]]
            message = {**message, "tool_calls": calls}
        elif message.get("role") == "tool":
            message = {**message, "tool_call_id": short(message.get("tool_call_id"))}
        made.append(message)
    return made
