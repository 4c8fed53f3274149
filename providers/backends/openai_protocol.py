"""OpenAI's chat completions, embeddings and models, as OpenAI and all who follow it speak them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, ClassVar

from providers.backends.common import HttpProvider, given
from providers.base import Ability, Answer, Call, ModelInfo, Piece, ProviderFailed, Usage, Vectors

ODD = (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError, OverflowError)
# Old names, and functions in place of tools.
FINISHES = {
    "function_call": "tool_calls", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop",
    "max_tokens": "length",
}  # fmt: skip


class OpenAIProtocol(HttpProvider):
    abilities: ClassVar[frozenset[Ability]] = frozenset(Ability) - {Ability.RERANK}  # OpenAI has no such call
    # What the most tokens of an answer are called; a model that refuses one name is asked by the other.
    limit_name: ClassVar[str] = "max_tokens"

    # --- what is sent --------------------------------------------------------------------------------------------

    def body(self, call: Call, is_stream: bool) -> dict[str, Any]:
        limit = self.limit_name
        without = self.not_taken(call.model)
        if "max_tokens" in without:
            limit = "max_completion_tokens"
        body = {"model": call.model, "messages": call.messages} | given(
            tools=call.tools, tool_choice=call.tool_choice if call.tools else None,
            temperature=call.temperature, top_p=call.top_p, stop=list(call.stop), seed=call.seed,
            response_format=call.response_format, **{limit: call.max_tokens},
        )  # fmt: skip
        if is_stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return {name: value for name, value in body.items() if name not in without}

    # --- what comes ----------------------------------------------------------------------------------------------

    async def chat_once(self, call: Call) -> Answer:
        body = await self.server.json("POST", f"{self.base_url}/chat/completions", self.body(call, False))
        try:
            if "error" in body:  # some say 200 and then this
                raise self.said_in_stream(body)
            choice = body["choices"][0]
            message = choice["message"]
            text = text_of(message.get("content"))
            calls = tuple(whole_call(made) for made in message.get("tool_calls") or [])
            finish = finish_of(choice.get("finish_reason"), bool(calls))
            if refused := message.get("refusal"):
                text, finish = text or refused, "content_filter"
            return Answer(
                text, calls, finish, usage_of(body.get("usage")), str(body.get("model") or call.model),
                thought_of(message),
            )  # fmt: skip
        except ODD as error:
            raise self.server.odd(body) from error

    async def stream_once(self, call: Call) -> AsyncGenerator[Piece, None]:
        finish: str | None = None
        usage: Usage | None = None
        is_refused = False
        calls = CallsInPieces()
        url = f"{self.base_url}/chat/completions"
        async with aclosing(self.server.events(url, self.body(call, True))) as events:
            try:
                async for event in events:
                    if event.data.strip() == "[DONE]":
                        break
                    chunk = json.loads(event.data)
                    if event.name == "error" or "error" in chunk:
                        raise self.said_in_stream(chunk)
                    usage = usage_of(chunk.get("usage")) or usage
                    for choice in chunk.get("choices") or []:  # none in the one that tells the usage
                        finish = choice.get("finish_reason") or finish
                        delta = choice.get("delta") or {}
                        calls.take(delta.get("tool_calls") or [])
                        is_refused = is_refused or bool(delta.get("refusal"))
                        if thought := thought_of(delta):
                            yield Piece(thought=thought)
                        if text := text_of(delta.get("content")) or delta.get("refusal"):
                            yield Piece(text)
            except ODD as error:
                raise self.server.odd(event.data) from error
        if finish is None:
            raise self.server.broke_off()
        if is_refused:
            finish = "content_filter"
        made = calls.whole()
        yield Piece("", made, finish_of(finish, bool(made)), usage)

    def said_in_stream(self, chunk: dict[str, Any]) -> ProviderFailed:
        """An error that comes where a good answer had begun; its status, where there is one, stands inside."""
        error = chunk.get("error", chunk)
        status = error.get("status", error.get("code")) if isinstance(error, dict) else None
        told = status if isinstance(status, int) and 400 <= status < 600 else 500
        return self.server.refusal(told, json.dumps(chunk))

    async def embed_once(self, model: str, texts: list[str], is_question: bool) -> Vectors:
        asked = {"model": model, "input": texts, "encoding_format": "float"}
        body = await self.server.json(
            "POST", f"{self.base_url}/embeddings", asked | self.embedding_options(is_question)
        )
        try:
            rows = sorted(body["data"], key=lambda row: row["index"])
            counted = usage_of(body.get("usage"))
            return Vectors(
                ([float(value) for value in row["embedding"]] for row in rows),
                counted.input_tokens if counted else None,
            )
        except ODD as error:
            raise self.server.odd(body) from error

    def embedding_options(self, is_question: bool) -> dict[str, Any]:
        return {}

    async def models_once(self) -> list[ModelInfo]:
        body = await self.server.json("GET", f"{self.base_url}/models")
        try:
            rows = body["data"] if isinstance(body, dict) else body  # a bare list at some
            return [self.model_of(row) for row in rows]
        except ODD as error:
            raise self.server.odd(body) from error

    def model_of(self, row: dict[str, Any]) -> ModelInfo:
        tokens = row.get("context_length") or row.get("context_window") or row.get("max_model_len")
        return ModelInfo(
            str(row["id"]),
            context_tokens=tokens if isinstance(tokens, int) else None,
            is_embedding=True if "embed" in str(row["id"]).lower() else None,
        )


class CallsInPieces:
    """Tool calls as a stream brings them: a first piece with id and name, then arguments bit by bit, by index."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}

    def take(self, pieces: list[dict[str, Any]]) -> None:
        for piece in pieces:
            index = piece.get("index")
            if index is None:  # some send each call whole, without a number
                index = len(self._calls)
            made = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
            function = piece.get("function") or {}
            made["id"] = made["id"] or piece.get("id") or ""
            made["name"] = made["name"] or function.get("name") or ""
            arguments = function.get("arguments") or ""
            made["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)

    def whole(self) -> tuple[dict[str, Any], ...]:
        return tuple(tool_call(c["id"], c["name"], c["arguments"], i) for i, c in sorted(self._calls.items()))


def tool_call(call_id: str, name: str, arguments: str, index: int = 0) -> dict[str, Any]:
    return {
        "id": call_id or f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments or "{}"},
    }


def thought_of(message: dict[str, Any]) -> str:
    """What a thinking model says to itself: OpenAI hands out none; DeepSeek, vLLM and others say `reasoning_content`,
    OpenRouter, newer vLLM and Ollama `reasoning`. Other shapes of it are nothing that could be shown."""
    said = message.get("reasoning_content") or message.get("reasoning")
    return said if isinstance(said, str) else ""


def whole_call(made: dict[str, Any]) -> dict[str, Any]:
    function = made["function"]
    arguments = function.get("arguments") or "{}"
    return tool_call(
        made.get("id") or "",
        function["name"],
        arguments if isinstance(arguments, str) else json.dumps(arguments),
    )


def text_of(content: Any) -> str:
    """A text, or the texts of its parts."""
    if isinstance(content, list):
        return "".join(
            str(part.get("text", "")) for part in content if part.get("type") in ("text", "output_text")
        )
    return content or ""


def finish_of(reason: str | None, has_calls: bool) -> str:
    """One of the four; some say `stop` where they call a tool."""
    known = FINISHES.get(reason or "stop", reason or "stop")
    return "tool_calls" if has_calls and known == "stop" else known


def usage_of(usage: dict[str, Any] | None) -> Usage | None:
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )
