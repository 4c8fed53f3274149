"""Answers on their way out, in OpenAI's shapes (and vLLM's where OpenAI has none): whole, or as they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.embedded.parts import Part
from serving.embedded.wire import Send, begin_events, end_events, send_event, send_json
from serving.embedded.worker import Ticket
from serving.protocol import ApiError, ChatRequest, CompletionRequest
from serving.shapes import AnswerShape, TextShape, Usage, text_logprobs, token_logprob

if TYPE_CHECKING:
    from serving.embedded.generation import End, Piece, Prompt
    from serving.embedded.sampling import Score, Token


@dataclass(slots=True)
class Written:
    """One answer as far as it is."""

    text: str = ""
    scores: list[Score] = field(default_factory=list)
    prompt: Prompt | None = None
    end: End | None = None

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.scores += piece.scores
        self.prompt = self.prompt or piece.prompt
        self.end = piece.end


class ChatAnswers:
    """The choices of `/v1/chat/completions`."""

    def __init__(self, request: ChatRequest):
        self._shape, self._request = AnswerShape(request.model), request
        self._with_usage = request.include_usage

    def whole(self, written: list[Written], usage: Usage) -> dict[str, Any]:
        choices = [
            self._shape.choice(one.text, one.end.finish_reason, index, self._logprobs(one.scores))
            for index, one in enumerate(written)
            if one.end
        ]
        return self._shape.answer(choices, usage)

    def first(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        return [self._shape.first_chunk(self._with_usage, index) for index in range(len(parts))]

    def following(self, index: int, piece: Piece, _written: Written) -> list[dict[str, Any]]:
        shape, chunks = self._shape, []
        if piece.text or piece.scores:
            chunks.append(shape.text_chunk(piece.text, self._with_usage, index, self._logprobs(piece.scores)))
        if piece.end:
            chunks.append(shape.last_chunk(piece.end.finish_reason, self._with_usage, index))
        return chunks

    def usage(self, usage: Usage) -> dict[str, Any]:
        return self._shape.usage_chunk(usage)

    def _logprobs(self, scores: list[Score]) -> list[dict[str, Any]] | None:
        if self._request.top_logprobs is None:
            return None
        return [
            token_logprob(
                score.token.text, score.token.logprob, score.token.text.encode(),
                [(token.text, token.logprob, token.text.encode()) for token in score.top],
            )
            for score in scores
        ]  # fmt: skip


class TextAnswers:
    """The choices of `/v1/completions`."""

    def __init__(self, request: CompletionRequest):
        self._shape, self._request = TextShape(request.model), request

    def whole(self, written: list[Written], usage: Usage) -> dict[str, Any]:
        return self._shape.answer([self._choice(index, one) for index, one in enumerate(written)], usage)

    def first(self, _parts: Sequence[Part]) -> list[dict[str, Any]]:
        return []

    def following(self, index: int, piece: Piece, written: Written) -> list[dict[str, Any]]:
        if not (piece.text or piece.scores or piece.end or piece.prompt):
            return []
        # What was sent before counts in the places of the tokens only.
        sent = len(written.text) - len(piece.text)
        if self._request.echo and written.prompt and not piece.prompt:
            sent += len(written.prompt.text)
        part = Written(piece.text, piece.scores, piece.prompt, piece.end)
        return [self._shape.chunk(self._choice(index, part, sent), self._request.include_usage)]

    def usage(self, usage: Usage) -> dict[str, Any]:
        return self._shape.usage_chunk(usage)

    def _choice(self, index: int, written: Written, start: int = 0) -> dict[str, Any]:
        text, prompt = written.text, written.prompt
        known: list[Token | None] = [score.token for score in written.scores]
        tops = [score.top for score in written.scores]
        texts = [token.text for token in known if token]
        if prompt and self._request.echo:
            text = prompt.text + text
            # Nothing stands before the first token, so that nothing is known of it but its text.
            known = [None, *(score.token for score in prompt.scores), *known]
            tops = [[], *(score.top for score in prompt.scores), *tops]
            texts = [prompt.first_text, *(token.text for token in known if token)]
        logprobs = None
        if self._request.logprobs is not None:
            values = [token.logprob if token else None for token in known]
            likeliest = [_likeliest(token, top) for token, top in zip(known, tops, strict=True)]
            logprobs = text_logprobs(texts, values, likeliest, _offsets(texts, start))
        choice = self._shape.choice(text, written.end.finish_reason if written.end else None, index, logprobs)
        return choice | {"prompt_logprobs": _prompt_logprobs(prompt) if prompt and prompt.scores else None}


async def send_whole(
    ticket: Ticket, answers: ChatAnswers | TextAnswers, send: Send, _include_usage: bool
) -> None:
    written = [Written() for _ in ticket.parts]
    async for index, piece in ticket.pieces():
        written[index].add(piece)
    await send_json(send, 200, answers.whole(written, usage_of(ticket.parts, written)))


async def send_stream(
    ticket: Ticket, answers: ChatAnswers | TextAnswers, send: Send, include_usage: bool
) -> None:
    written = [Written() for _ in ticket.parts]
    pieces = ticket.pieces()
    # The first step tells whether the request can be answered at all: until then an error is a plain status.
    first = await anext(pieces)
    await begin_events(send)
    for chunk in answers.first(ticket.parts):
        await send_event(send, chunk)
    try:
        async for index, piece in _again(first, pieces):
            written[index].add(piece)
            for chunk in answers.following(index, piece, written[index]):
                await send_event(send, chunk)
        if include_usage:
            await send_event(send, answers.usage(usage_of(ticket.parts, written)))
    except ApiError as error:
        await send_event(send, error.body())
    await end_events(send)


def usage_of(parts: Sequence[Part], written: list[Written]) -> Usage:
    """Each prompt counts once, however many choices it has."""
    ends = [(part, one.end.usage) for part, one in zip(parts, written, strict=True) if one.end]
    prompts = sum(usage.prompt_tokens for part, usage in ends if part.choice == 0)
    return Usage(prompts, sum(usage.completion_tokens for _, usage in ends))


async def _again(first: tuple[int, Piece], rest: AsyncIterator[tuple[int, Piece]]):
    yield first
    async for following in rest:
        yield following


def _likeliest(token: Token | None, top: list[Token]) -> dict[str, float] | None:
    """The likeliest tokens and the one that stands there, by their texts."""
    if token is None:
        return None
    return {one.text: one.logprob for one in [*reversed([*top]), token]}


def _offsets(texts: list[str], start: int) -> list[int]:
    places = []
    for text in texts:
        places.append(start)
        start += len(text)
    return places


def _prompt_logprobs(prompt: Prompt) -> list[dict[str, dict[str, Any]] | None]:
    """vLLM's shape: for each token None or, by id, itself and the likeliest."""

    def entry(token: Token) -> dict[str, Any]:
        return {"logprob": token.logprob, "rank": token.rank, "decoded_token": token.text}

    return [
        None,
        *(
            {str(token.token_id): entry(token) for token in [score.token, *score.top]}
            for score in prompt.scores
        ),
    ]
