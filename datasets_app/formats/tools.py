"""Tools, calls of them and their answers, in OpenAI's shape whatever the file's."""

import json
from typing import Any

import msgspec

from .base import BadRow, Message, Turn, excerpt, kind_of, text_of

CALL = '{"id": "call_1", "type": "function", "function": {"name": "…", "arguments": "{…}"}}'
TOOL = '{"type": "function", "function": {"name": "…", "parameters": {…}}}'
RESULT = '{"role": "tool", "tool_call_id": "call_1", "content": "…"}'


def _bad(problem: str, mend: str, found: str = "") -> BadRow:
    return BadRow(problem, mend, found, "bad_tool_call")


def tools_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The tools that a record offers (`tools`, or the older `functions`), also when they are JSON in a string."""
    name = "tools" if record.get("tools") else "functions"
    tools = record.get(name)
    if isinstance(tools, str):
        if not tools.strip():
            return []
        tools = _json(tools, f"“{name}”")
    if tools is None or tools == [] or tools == {}:
        return []
    if not isinstance(tools, list):
        raise _bad(f"“{name}” is {kind_of(tools)}, expected a list of tools.", f"Write [{TOOL}].")
    return [_tool(tool, number) for number, tool in enumerate(tools, 1)]


def _tool(tool: Any, number: int) -> dict[str, Any]:
    if isinstance(tool, str):
        tool = _json(tool, f"Tool {number}")
    if isinstance(tool, dict) and "function" not in tool and "name" in tool:
        tool = {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not _is_name(function.get("name")):
        found = "has no name" if isinstance(tool, dict) else f"is {kind_of(tool)}"
        raise _bad(f"Tool {number} {found}, expected a function with its name.", f"Write it as {TOOL}.")
    parameters = function.get("parameters")
    if isinstance(parameters, str):
        parameters = _json(parameters, f"“parameters” of tool {number}")
    if parameters is not None and not isinstance(parameters, dict):
        raise _bad(f"“parameters” of tool {number} is {kind_of(parameters)}.", "Write a JSON schema: {…}.")
    if parameters is not None:
        function = {**function, "parameters": parameters}
    return {**tool, "type": "function", "function": function}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def calls_of(message: dict[str, Any], number: int) -> tuple[dict[str, Any], ...]:
    """The calls in an answer (`tool_calls`, or the older `function_call`); an id that is missing stays "" ."""
    calls = message.get("tool_calls")
    if isinstance(calls, str) and calls.strip():
        calls = _json(calls, f"“tool_calls” of message {number}")
    if not calls:
        one = message.get("function_call")
        calls = [one] if one else None
    if not calls:
        return ()
    if not isinstance(calls, list):
        raise _bad(
            f"“tool_calls” of message {number} is {kind_of(calls)}, expected a list.", f"Write [{CALL}]."
        )
    return tuple(read_call(call, f"A tool call in message {number}") for call in calls)


def read_call(call: Any, where: str) -> dict[str, Any]:
    """One call in OpenAI's shape; a bare {"name", "arguments"} will do. Raises BadRow."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not _is_name(function.get("name")):
        found = "has no name of a function" if isinstance(call, dict) else f"is {kind_of(call)}"
        raise _bad(f"{where} {found}.", f"Write it as {CALL}.")
    identity = call.get("id")
    return {
        "id": text_of(identity, f"the id of {where}") if isinstance(identity, (str, int)) else "",
        "type": "function",
        "function": {
            "name": text_of(function["name"], f"the name in {where}"),
            "arguments": _arguments(function.get("arguments", function.get("parameters")), where),
        },
    }


def _arguments(value: Any, where: str) -> str:
    """The arguments as JSON text of an object."""
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):
        if not isinstance(_json(value, f"The arguments of {where.lower()}"), dict):
            raise _bad(
                f"The arguments of {where.lower()} are no JSON object.",
                'Write them as "{…}".',
                excerpt(value),
            )
        return value
    if not isinstance(value, dict):
        raise _bad(
            f"The arguments of {where.lower()} are {kind_of(value)}, expected JSON text of an object.",
            'Write them as "{…}".',
        )
    return json.dumps(value, ensure_ascii=False)


def read_calls_text(text: str, where: str) -> tuple[dict[str, Any], ...]:
    """Calls that stand as JSON in a text, one or a list of them."""
    value = _json(text, where)
    return tuple(read_call(call, where) for call in (value if isinstance(value, list) else [value]))


def _json(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text_of(text, where))
    except msgspec.DecodeError as error:
        raise _bad(
            f"{where} cannot be read as JSON ({excerpt(str(error), width=80)}).",
            "Write it again with a JSON library, such as json.dumps.",
            excerpt(text),
        ) from None


class Open:
    """The calls of a conversation that wait for their answers."""

    def __init__(self, warnings: list[BadRow]) -> None:
        self.warnings = warnings
        self.open: list[str] = []
        self.asked_in = 0
        self.count = 0

    def ask(self, turn: Turn, number: int, message: Message) -> None:
        """Notes the calls of an answer and gives each an id, where it has none."""
        calls = []
        for call in turn.tool_calls:
            self.count += 1
            calls.append({**call, "id": call["id"] or f"call_{self.count}"})
        message["tool_calls"] = [*message.get("tool_calls", []), *calls]
        self.open = [call["id"] for call in calls]
        self.asked_in = number

    def answer(self, turn: Turn, number: int, messages: list[Message]) -> Message:
        """The message of a tool's turn, with the id of the call that it answers; raises BadRow if there is none."""
        before = messages[-1]["role"] if messages else ""
        message: Message = {"role": "tool", "content": ""}
        if self.open:
            if turn.tool_call_id and turn.tool_call_id not in self.open:
                raise self._unasked(number, f" (“{excerpt(turn.tool_call_id, width=40)}”)")
            message["tool_call_id"] = turn.tool_call_id or self.open[0]
            self.open.remove(message["tool_call_id"])
        elif turn.tool_call_id or before not in ("assistant", "tool") or self.asked_in:
            raise self._unasked(number)
        elif before == "assistant":  # models that write their calls as text
            self.warnings.append(self._unasked(number, ", unless the answer before it does so in words"))
        if turn.name:
            message["name"] = turn.name
        return message

    def _unasked(self, number: int, more: str = "") -> BadRow:
        return BadRow(
            f"Message {number} is a tool's answer, but no call asks for it{more}.",
            f"Put the assistant's call before it, with the same id: {RESULT}.",
            code="tool_result_without_call",
        )

    def refuse_unanswered(self, number: int) -> None:
        raise BadRow(
            f"The tool call “{excerpt(self.open[0], width=40)}” in message {self.asked_in} has no answer "
            f"before message {number}.",
            f"Add {RESULT.replace('call_1', excerpt(self.open[0], width=40))} behind it, "
            "or end the conversation with the call.",
            code="tool_call_without_result",
        )
