"""OpenAI's chat completion request, read in one place, by the embedded server and the gateway alike.

No Django and no torch in here. Field names and limits follow OpenAI's API reference (chat completions, 2026-08).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

# What a request may carry and we leave aside: it changes nothing about the answer of a model of ours.
HINTS = {
    "metadata", "parallel_tool_calls", "prediction", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
}  # fmt: skip

# What would change the answer and we cannot do, with the values that ask for nothing.
REFUSED: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none",),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}


class ApiError(Exception):
    """A refusal in OpenAI's words: HTTP `status` and the four keys of its error object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ):
        super().__init__(message)
        self.message, self.status, self.kind, self.param, self.code = message, status, kind, param, code

    def body(self) -> dict[str, Any]:
        """The envelope: `{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def model_not_found(name: str) -> ApiError:
    """The one answer for a model that is missing and for one that belongs to someone else."""
    return ApiError(
        f"The model `{name}` does not exist or you do not have access to it.",
        status=404, param="model", code="model_not_found",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. `max_tokens` None means: to the end of the context. Temperature 0 is greedy."""

    model: str
    messages: list[dict[str, str]]
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    stream: bool = False
    include_usage: bool = False

    def as_body(self, **changes: Any) -> dict[str, Any]:
        """The request as JSON fields again, for the next server on the way; `changes` win."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": self.messages,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
        }
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if self.seed is not None:
            body["seed"] = self.seed
        if self.stop:
            body["stop"] = self.stop
        return body | changes


def is_unicode(text: str) -> bool:
    """False for a str with one half of a surrogate pair, which JSON can escape and nothing can encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_chat_request(body: Any) -> ChatRequest:
    """Check a JSON body; raises `ApiError` (400) that names the parameter and the value received."""
    if not isinstance(body, dict):
        raise ApiError("The request body must be a JSON object.")
    body = {name: value for name, value in body.items() if value is not None}
    _refuse_what_we_cannot_do(body)

    model = _required(body, "model")
    if not isinstance(model, str) or not model:
        raise ApiError(f"`model` must be a non-empty string, got {_short(model)}.", param="model")
    # A database can keep neither, so that no model has such a name.
    if not is_unicode(model) or "\x00" in model:
        raise ApiError(
            f"`model` must be Unicode text without U+0000, got {_short(model)}.",
            param="model", code="invalid_value",
        )  # fmt: skip
    stream = _flag(body, "stream")
    return ChatRequest(
        model=model,
        messages=_messages(_required(body, "messages")),
        max_tokens=_max_tokens(body),
        temperature=_number(body, "temperature", 1.0, 0.0, 2.0),
        top_p=_number(body, "top_p", 1.0, 0.0, 1.0),
        frequency_penalty=_number(body, "frequency_penalty", 0.0, -2.0, 2.0),
        presence_penalty=_number(body, "presence_penalty", 0.0, -2.0, 2.0),
        seed=_integer(body, "seed", -(2**63), 2**63 - 1),
        stop=_stop(body),
        stream=stream,
        include_usage=_include_usage(body, stream),
    )


KNOWN = {
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "frequency_penalty",
    "presence_penalty", "seed", "stop", "stream", "stream_options",
}  # fmt: skip


def _refuse_what_we_cannot_do(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if name in KNOWN or name in HINTS:
            continue
        if name not in REFUSED:
            raise ApiError(
                f"Unrecognized request argument supplied: {name}", param=name, code="unknown_parameter"
            )
        # `is` keeps True from passing as 1 and 0 from passing as False.
        if not any(value == fine and type(value) is type(fine) for fine in REFUSED[name]):
            raise ApiError(
                f"Unsupported parameter: `{name}` is not supported by this server (got {_short(value)}).",
                param=name, code="unsupported_parameter",
            )  # fmt: skip


def _required(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise ApiError(
            f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )
    return body[name]


def _messages(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise ApiError(
            f"`messages` must be a list of at least one message, got {_short(given)}.", param="messages"
        )
    return [_message(message, index) for index, message in enumerate(given)]


def _message(message: Any, index: int) -> dict[str, str]:
    where = f"messages[{index}]"
    if not isinstance(message, dict):
        raise ApiError(f"`{where}` must be an object, got {_short(message)}.", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise ApiError(
            f"`{where}.role` is {_short(role)}; this server knows {', '.join(ROLES)}.",
            param=f"{where}.role", code="invalid_value",
        )  # fmt: skip
    if message.get("tool_calls") or message.get("function_call") or message.get("audio"):
        raise ApiError(
            f"`{where}` calls a tool or carries audio; this server answers with text only.", param=where
        )
    return {"role": ROLES[role], "content": _content(message.get("content"), f"{where}.content")}


def _content(content: Any, where: str) -> str:
    """A string, or a list of text parts, which OpenAI's clients may send in its place."""
    text = _joined(content, where)
    if not is_unicode(text):
        raise ApiError(
            f"`{where}` holds half of a surrogate pair, which is no character.",
            param=where, code="invalid_value",
        )  # fmt: skip
    return text


def _joined(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        for index, part in enumerate(content):
            if not (
                isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            ):
                raise ApiError(
                    f"`{where}[{index}]` is {_short(part)}; this server reads text parts only.",
                    param=f"{where}[{index}]", code="invalid_value",
                )  # fmt: skip
        return "".join(part["text"] for part in content)
    raise ApiError(f"`{where}` must be a string or a list of text parts, got {_short(content)}.", param=where)


def _max_tokens(body: dict[str, Any]) -> int | None:
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise ApiError(
            "Setting `max_tokens` and `max_completion_tokens` at the same time is not supported.",
            param="max_tokens", code="invalid_parameter_combination",
        )  # fmt: skip
    name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
    return _integer(body, name, 1, None)


def _stop(body: dict[str, Any]) -> list[str]:
    stop = body.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or len(stop) > 4 or not all(isinstance(one, str) and one for one in stop):
        raise ApiError(
            f"`stop` must be a string or up to 4 non-empty strings, got {_short(stop)}.", param="stop"
        )
    return stop


def _include_usage(body: dict[str, Any], stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise ApiError(f"`stream_options` must be an object, got {_short(options)}.", param="stream_options")
    if not stream:
        raise ApiError("`stream_options` is only allowed when `stream` is true.", param="stream_options")
    return _flag(options, "include_usage", "stream_options.include_usage")


def _flag(body: dict[str, Any], name: str, where: str | None = None) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(f"`{where or name}` must be true or false, got {_short(value)}.", param=where or name)
    return bool(value)


def _number(body: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ApiError(f"`{name}` must be a number, got {_short(value)}.", param=name, code="invalid_type")
    if not low <= value <= high:  # NaN fails this too
        raise ApiError(
            f"`{name}` must be from {low:g} to {high:g}, got {value!r}.", param=name, code="invalid_value"
        )
    return float(value)


def _integer(body: dict[str, Any], name: str, low: int, high: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError(f"`{name}` must be an integer, got {_short(value)}.", param=name, code="invalid_type")
    if value < low or (high is not None and value > high):
        upper = "" if high is None else f" and at most {high}"
        raise ApiError(
            f"`{name}` must be at least {low}{upper}, got {value}.", param=name, code="invalid_value"
        )
    return value


def _short(value: Any) -> str:
    try:
        shown = repr(value)
    except RecursionError:  # the JSON reader goes a few levels deeper than repr
        return "what nests too deep to be shown"
    return shown if len(shown) <= 80 else shown[:77] + "…"
