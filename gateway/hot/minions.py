"""A minion answers like a model: OpenAI's chat completions, whole or as a stream, over `minions.answering`."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from gateway.hot.exchange import Exchange
from gateway.hot.relay import Used, failure_event
from gateway.hot.requests import Body
from minions import answering
from minions.answering import Answering, Asked
from minions.flow import Question, Said
from minions.limits import TooManyQuestions
from minions.models import Source
from serving.protocol import PLAIN_CHAT, Ability, ApiError, ChatRequest
from serving.shapes import AnswerShape, Usage

ABILITIES = PLAIN_CHAT | {Ability.TOOLS, Ability.TOOL_CHOICE, Ability.RESPONSE_FORMAT}
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class MinionRoute:
    """What a name means: a minion of the caller's."""

    minion_id: uuid.UUID
    name: str


class MinionExchange:
    """One question to a minion and its answer. `used` holds when it has ended, however it ended."""

    def __init__(self, exchange: Exchange, route: MinionRoute, model: str):
        self._exchange, self._route, self._model = exchange, route, model
        self._shape = AnswerShape(model)
        self.used = Used()

    async def answer(
        self, question: Question, *, is_stream: bool, token_id: str, is_own_token: bool, include_usage: bool
    ) -> None:
        """Raises ApiError while nothing has been answered."""
        asked = Asked(
            minion_id=self._route.minion_id, question=question, source=Source.OPENAI, token_id=uuid.UUID(token_id),
            is_own_token=is_own_token, is_stream=is_stream,
        )  # fmt: skip
        try:
            under_way = await answering.begin(asked)
        except TooManyQuestions as problem:
            self._exchange.headers.append((b"retry-after", b"%d" % problem.retry_after))
            raise
        self._say(b"x-apex-lineage", "; ".join(f"{kind}={id_}" for kind, id_ in under_way.lineage.items()))
        try:
            if is_stream:
                await self._stream(under_way, include_usage)
            else:
                await self._whole(under_way)
        finally:
            trace = under_way.trace
            self.used = Used(trace.input_tokens, trace.output_tokens, is_counted=True)

    async def _whole(self, under_way: Answering) -> None:
        text, calls, reason = await under_way.whole()
        trace = under_way.trace
        choice = self._shape.choice(text, reason)
        if thought := thought_of(under_way):
            choice["message"] |= {"reasoning_content": thought}
        if calls:
            choice["message"] |= {"tool_calls": calls, "content": text or None}
        body = self._shape.answer([choice], Usage(trace.input_tokens, trace.output_tokens))
        self._say_who(under_way)
        await self._exchange.whole(200, json.dumps(body | {"apex": told(under_way)}).encode())

    async def _stream(self, under_way: Answering, include_usage: bool) -> None:
        exchange = self._exchange
        async with aclosing(self._chunks(under_way, include_usage)) as chunks:
            try:
                async for chunk in chunks:
                    if not exchange.status:
                        # From the first words on there is an answer; before, a refusal is a status of its own.
                        self._say_who(under_way)
                        await exchange.start_stream()
                        exchange.watch_now()
                        await exchange.write(event(self._shape.first_chunk(include_usage)))
                    await exchange.write(event(chunk))
            except ApiError as problem:
                if not exchange.status:
                    raise
                await exchange.write(failure_event(problem.body()), more=False)
                return
        if not exchange.status:  # an answer without a word
            await exchange.start_stream()
        await exchange.write(DONE, more=False)

    async def _chunks(self, under_way: Answering, include_usage: bool) -> AsyncIterator[dict[str, Any]]:
        shape, reason, calls = self._shape, "stop", 0
        async with aclosing(under_way.events()) as events:
            async for each in events:
                if not isinstance(each, Said):
                    continue
                if each.thought:
                    chunk = shape.text_chunk("", include_usage)
                    chunk["choices"][0]["delta"] = {"reasoning_content": each.thought}
                    yield chunk
                if each.text:
                    yield shape.text_chunk(each.text, include_usage)
                if each.tool_calls:
                    chunk = shape.text_chunk("", include_usage)
                    numbered = [{"index": calls + at, **call} for at, call in enumerate(each.tool_calls)]
                    calls += len(numbered)
                    chunk["choices"][0]["delta"] = {"tool_calls": numbered}
                    yield chunk
                reason = each.finish_reason or reason
        trace = under_way.trace
        yield shape.last_chunk(reason, include_usage) | {"apex": told(under_way)}
        if include_usage:
            yield shape.usage_chunk(Usage(trace.input_tokens, trace.output_tokens))

    def _say_who(self, under_way: Answering) -> None:
        """Which model gives the words, and why that one: of a stream, as it is known when the first word is there."""
        trace = under_way.trace
        stage = trace.stages[-1] if trace.stages and not trace.model else None
        model = f"{stage.provider}/{stage.model}" if stage else f"{trace.provider}/{trace.model}"
        self._say(b"x-apex-answered-by", model)
        if why := (stage.why if stage else trace.why):
            self._say(b"x-apex-why", why)

    def _say(self, name: bytes, value: str) -> None:
        # A header holds neither a line break nor more than Latin-1.
        text = "".join(char if char.isprintable() else " " for char in value)
        self._exchange.headers.append((name, text.encode("ascii", "replace")[:500]))


def question_of(request: ChatRequest, body: Body) -> Question:
    """What a program leaves out is the minion's to say. Raises ApiError for what no provider is passed."""
    for name in ("frequency_penalty", "presence_penalty"):
        if getattr(request, name):
            raise ApiError(f"A minion does not take `{name}`.", param=name, code="unsupported_parameter")
    return Question(
        messages=request.messages, tools=tuple(request.tools), tool_choice=request.tool_choice,
        max_tokens=request.max_tokens, temperature=request.temperature if body.has("temperature") else None,
        top_p=request.top_p if body.has("top_p") else None, stop=tuple(request.stop), seed=request.seed,
        response_format=request.response_format,
    )  # fmt: skip


def told(under_way: Answering) -> dict[str, Any]:
    """Beside OpenAI's fields: who answered and why, and the passages that were given."""
    trace = under_way.trace
    cited = [{name: each[name] for name in ("number", "name", "place", "chunk")} for each in trace.citations]
    return {"model": trace.model, "provider": trace.provider, "why": trace.why, "citations": cited}


def thought_of(under_way: Answering) -> str:
    """What the model that answered said to itself before; nothing where another's words are the answer."""
    stages = under_way.trace.stages
    return stages[-1].thought if stages else ""


def refuse_other_than_chat(kind) -> None:
    """Raises ApiError at an address where minions do not answer."""
    if kind.activity != "chat":
        raise ApiError(
            f"A minion answers at /v1/chat/completions, not at {kind.path}.",
            param="model",
            code="not_supported",
        )


def event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
