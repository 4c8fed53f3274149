"""A chat completion request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from serving.protocol import values
from serving.protocol.abilities import PLAIN_CHAT, Ability, Asks, needed, refuse_what_is_not_done
from serving.protocol.errors import ApiError
from serving.protocol.messages import read_messages, read_response_format, read_tool_choice, read_tools
from serving.protocol.sampling import Sampling, read_sampling

# What a request may carry and we leave aside: it changes nothing about the answer of a model of ours.
HINTS = frozenset({
    "metadata", "parallel_tool_calls", "prediction", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
})  # fmt: skip

KNOWN = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "frequency_penalty",
    "presence_penalty", "seed", "stop", "stream", "stream_options",
})  # fmt: skip

ASKING = {
    "audio": Asks(None),
    "function_call": Asks(None, "none"),
    "functions": Asks(None, []),
    "logit_bias": Asks(Ability.LOGIT_BIAS, {}),
    "logprobs": Asks(Ability.LOGPROBS, False),
    "modalities": Asks(None, ["text"]),
    "moderation": Asks(None),
    "n": Asks(Ability.CHOICES, 1),
    "reasoning_effort": Asks(Ability.REASONING, "none"),
    "response_format": Asks(Ability.RESPONSE_FORMAT, {"type": "text"}),
    "tool_choice": Asks(Ability.TOOL_CHOICE, "auto", "none"),
    "tools": Asks(Ability.TOOLS, []),
    "top_logprobs": Asks(Ability.LOGPROBS, 0),
    "verbosity": Asks(None, "medium"),
    "web_search_options": Asks(None),
}

MOST_CHOICES = 128


@dataclass(frozen=True, slots=True)
class ChatRequest(Sampling):
    """A checked request. `max_tokens` None means: to the end of the context.

    `top_logprobs` None: no log-probabilities; 0: those of the chosen tokens only.
    """

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    n: int = 1
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

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
        if self.n != 1:
            body["n"] = self.n
        if self.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        for name in ("stop", "logit_bias", "tools", "tool_choice", "response_format"):
            if value := getattr(self, name):
                body[name] = value
        return body | changes


def parse_chat_request(body: Any, abilities: frozenset[Ability] = PLAIN_CHAT) -> ChatRequest:
    """Check a JSON body for what has these abilities; `ApiError` (400) names parameter and value received."""
    body = values.as_object(body)
    model = values.model_name(body)
    needed(Ability.CHAT, abilities, "/v1/chat/completions", model)
    refuse_what_is_not_done(body, known=KNOWN, hints=HINTS, asking=ASKING, abilities=abilities)

    stream = values.flag(body, "stream")
    tools = read_tools(body)
    if tools and body.get("tool_choice") == "none" and Ability.TOOL_CHOICE not in abilities:
        raise ApiError("This model calls tools as it likes; leave `tools` out.", param="tool_choice")
    return ChatRequest(
        model=model,
        messages=read_messages(values.required(body, "messages"), with_tools=Ability.TOOLS in abilities),
        max_tokens=_max_tokens(body),
        **read_sampling(body, stream=stream),
        n=values.integer(body, "n", 1, MOST_CHOICES) or 1,
        top_logprobs=_top_logprobs(body),
        logit_bias=values.logit_bias(body),
        tools=tools,
        tool_choice=read_tool_choice(body, tools),
        response_format=read_response_format(body),
    )


def _max_tokens(body: dict[str, Any]) -> int | None:
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise ApiError(
            "Setting `max_tokens` and `max_completion_tokens` at the same time is not supported.",
            param="max_tokens", code="invalid_parameter_combination",
        )  # fmt: skip
    name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
    return values.integer(body, name, 1, None)


def _top_logprobs(body: dict[str, Any]) -> int | None:
    is_asked = values.flag(body, "logprobs")
    top = values.integer(body, "top_logprobs", 0, 20)
    if top and not is_asked:
        raise ApiError("`top_logprobs` is only allowed when `logprobs` is true.", param="top_logprobs")
    return (top or 0) if is_asked else None
