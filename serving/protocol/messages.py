"""The messages of a chat, and the tools that they may call."""

from __future__ import annotations

from typing import Any

from serving.protocol.errors import ApiError
from serving.protocol.values import is_unicode, refuse_depth, short, text

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
ROLES_WITH_TOOLS = ROLES | {"tool": "tool"}

Message = dict[str, Any]


def read_messages(given: Any, *, with_tools: bool) -> list[Message]:
    """The messages as chat templates know them: `developer` is `system`, text parts are one text.

    A message has `role` and `content` (a str), and where it says them `name`, `tool_calls`, `tool_call_id`.
    """
    if not isinstance(given, list) or not given:
        raise ApiError(
            f"`messages` must be a list of at least one message, got {short(given)}.", param="messages"
        )
    return [_message(message, f"messages[{index}]", with_tools) for index, message in enumerate(given)]


def _message(message: Any, where: str, with_tools: bool) -> Message:
    if not isinstance(message, dict):
        raise ApiError(f"`{where}` must be an object, got {short(message)}.", param=where)
    role = message.get("role")
    roles = ROLES_WITH_TOOLS if with_tools else ROLES
    if not isinstance(role, str) or role not in roles:
        raise ApiError(
            f"`{where}.role` is {short(role)}; this model knows {', '.join(roles)}.",
            param=f"{where}.role", code="invalid_value",
        )  # fmt: skip
    if message.get("function_call") or message.get("audio"):
        raise ApiError(f"`{where}` carries a function call of the old kind or audio.", param=where)
    calls = message.get("tool_calls")
    if calls and not with_tools:
        raise ApiError(f"`{where}` calls a tool; this model answers with text only.", param=where)
    content = message.get("content")
    # Beside calls an assistant need not say anything.
    said = "" if content is None and calls else _content(content, f"{where}.content")
    read: Message = {"role": roles[role], "content": said}
    if message.get("name") is not None:
        read["name"] = text(message["name"], f"{where}.name")
    if calls:
        read["tool_calls"] = _tool_calls(calls, role, f"{where}.tool_calls")
    if role == "tool":
        read["tool_call_id"] = text(message.get("tool_call_id"), f"{where}.tool_call_id")
    return read


def _content(content: Any, where: str) -> str:
    """A string, or a list of text parts, which OpenAI's clients may send in its place."""
    said = content if isinstance(content, str) else _joined(content, where)
    if not is_unicode(said):
        raise ApiError(
            f"`{where}` holds half of a surrogate pair, which is no character.",
            param=where, code="invalid_value",
        )  # fmt: skip
    return said


def _joined(content: Any, where: str) -> str:
    if not isinstance(content, list) or not content:
        raise ApiError(
            f"`{where}` must be a string or a list of text parts, got {short(content)}.", param=where
        )
    for index, part in enumerate(content):
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise ApiError(
                f"`{where}[{index}]` is {short(part)}; this model reads text parts only.",
                param=f"{where}[{index}]", code="invalid_value",
            )  # fmt: skip
    return "".join(part["text"] for part in content)


def _tool_calls(calls: Any, role: str, where: str) -> list[dict[str, Any]]:
    if role != "assistant" or not isinstance(calls, list):
        raise ApiError(f"`{where}` must be a list, in a message of the assistant.", param=where)
    return [_tool_call(call, f"{where}[{index}]") for index, call in enumerate(calls)]


def _tool_call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        raise ApiError(f"`{where}` must call a function, got {short(call)}.", param=where)
    return {
        "id": text(call.get("id"), f"{where}.id"),
        "type": "function",
        "function": {
            "name": text(function.get("name"), f"{where}.function.name"),
            "arguments": text(function.get("arguments"), f"{where}.function.arguments"),
        },
    }


def read_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions that the model may call, as they came; each has a name."""
    tools = body.get("tools", [])
    if not isinstance(tools, list) or len(tools) > 128:
        raise ApiError(f"`tools` must be a list of up to 128 functions, got {short(tools)}.", param="tools")
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise ApiError(
                f"`tools[{index}]` must be a function, got {short(tool)}.",
                param=f"tools[{index}]", code="invalid_value",
            )  # fmt: skip
        text(function.get("name"), f"tools[{index}].function.name")
    refuse_depth(tools, "tools")
    return tools


def read_tool_choice(body: dict[str, Any], tools: list[dict[str, Any]]) -> str | dict[str, Any] | None:
    """`none`, `auto`, `required` or one of the functions; None where nothing was said."""
    choice = body.get("tool_choice")
    if choice is None or choice == "none" or not tools:
        if choice not in (None, "none"):
            raise ApiError("`tool_choice` is only allowed when `tools` are specified.", param="tool_choice")
        return choice
    if isinstance(choice, str) and choice in ("auto", "required"):
        return choice
    function = choice.get("function") if isinstance(choice, dict) else None
    named = function.get("name") if isinstance(function, dict) else None
    if not isinstance(named, str) or named not in [tool["function"]["name"] for tool in tools]:
        raise ApiError(
            f"`tool_choice` must be none, auto, required or one of the functions in `tools`, got {short(choice)}.",
            param="tool_choice", code="invalid_value",
        )  # fmt: skip
    refuse_depth(choice, "tool_choice")
    return choice


def read_response_format(body: dict[str, Any]) -> dict[str, Any] | None:
    """None for plain text, else `json_object` or a named `json_schema`, as it came."""
    given = body.get("response_format")
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "text":
        return None
    schema = given.get("json_schema") if isinstance(given, dict) else None
    is_schema = isinstance(schema, dict) and isinstance(schema.get("schema"), dict) and schema.get("name")
    if kind == "json_object" or kind == "json_schema" and is_schema:
        refuse_depth(given, "response_format")
        return given
    raise ApiError(
        "`response_format` must have the type text, json_object, or json_schema with a name and a schema, "
        f"got {short(given)}.",
        param="response_format", code="invalid_value",
    )  # fmt: skip
