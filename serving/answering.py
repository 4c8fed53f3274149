"""An answer as server-sent events for a page: pieces as they are written, then what they took, or why there is none."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from ledger import budgets
from ledger.holding_on import HoldingOn, a_subject
from ledger.models import Outcome, Reservation
from ledger.money import TokenPrice
from ledger.prices import own_price
from serving import books, services
from serving.backends.base import Target
from serving.protocol import ApiError, ChatRequest
from serving.shapes import Usage

log = logging.getLogger(__name__)

LONGEST_PROMPT = 8000  # characters, as the forms say


def answer_response(events: AsyncIterator[str]) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        events,
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def answer_events(
    find: Callable[[], Awaitable[Target]],
    make_request: Callable[[str], ChatRequest],
    *,
    book: Book,
    most_pieces: int | None = None,
    tell: Callable[[Target], Awaitable[list[dict[str, str]]]] | None = None,
) -> AsyncIterator[str]:
    """`{"delta"}` …, then `{"done": true, "words", "seconds", …}` or `{"error"}`.

    `find` brings what answers, `make_request` the request to it by its name. With `tell` the first event is
    `{"lineage": […]}`, what it says of the target. An answer of `most_pieces` pieces ends with "…". `book` gets what
    it took, however it ends.
    """
    yield ": the model may have to be loaded first\n\n"
    clock, name = book.clock, "a model"
    text, pieces, usage, reason = "", 0, None, None
    try:
        target = await find()
        name = target.model_id
        if tell:
            yield event({"lineage": await tell(target)})
        request = make_request(name)
        await book.open(target, request, most_pieces)
        async with aclosing(services.stream_answer(target=target, request=request)) as deltas:
            async for delta in deltas:
                clock.note(delta.text)
                pieces += 1
                text += delta.text
                usage, reason = delta.usage or usage, delta.finish_reason or reason
                book.note(usage, pieces)
                if delta.text:
                    yield event({"delta": delta.text})
                if pieces == most_pieces:
                    yield event({"delta": " …"})
                    break
        book.is_whole = True
    except ApiError as error:
        log.warning("no answer from %s: %s", name, error)
        book.fail(error)
        yield event({"error": plain_words(error)})
        return
    finally:
        await book.close()
    yield event({"done": True, "words": len(text.split()), "finish_reason": reason, **clock.figures(usage)})


class Book:
    """One answer on a page, in the ledger: held before it is asked, settled when it ends or its reader leaves."""

    def __init__(self, user, activity: str):
        self.user, self.activity, self.clock = user, activity, Clock()
        self.target: Target | None = None
        self.price: TokenPrice | None = None
        self.held: Reservation | None = None
        self.holding_on: HoldingOn | None = None
        self.read_about = 0
        self.usage: Usage | None = None
        self.pieces, self.is_whole = 0, False
        self.error: ApiError | None = None

    async def open(self, target: Target, request: ChatRequest, most_pieces: int | None) -> None:
        """Raises BudgetSpent."""
        self.target = target
        self.price = await sync_to_async(own_price)(target.base_name)
        size = sum(len(str(message["content"]).encode()) for message in request.messages)
        if request.max_tokens is None and most_pieces:
            request = replace(request, max_tokens=most_pieces)
        most = books.most_of(request, size, self.price)
        self.read_about = books.read_about(request, size)
        self.held = await sync_to_async(books.hold)(
            self.user, most, what=f"{self.activity} {target.model_id}", subject=a_subject(self.activity)
        )
        self.holding_on = HoldingOn(self.held)
        self.holding_on.begin()

    def note(self, usage: Usage | None, pieces: int) -> None:
        self.usage, self.pieces = usage, pieces

    def fail(self, error: ApiError) -> None:
        self.error = error

    async def close(self) -> None:
        """Nothing is written of what was refused before any model was asked."""
        if self.holding_on:
            self.holding_on.end()
        if self.target is None or (self.error and self.held is None):
            return
        outcome = books.outcome_of(self.error.status) if self.error else None
        read = self.usage.prompt_tokens if self.usage else None
        if read is None and self.held and not self.error:
            read = self.read_about
        line = books.line(
            self.user.pk,
            self.activity,
            status=self.error.status if self.error else 200,
            error=(self.error.code or self.error.kind) if self.error else "",
            outcome=outcome or (Outcome.OK if self.is_whole else Outcome.LEFT),
            model=self.target.model_id,
            adapter_id=self.target.lineage.get("adapter"),
            price=self.price,
            is_stream=True,
            input_tokens=read,
            output_tokens=self.usage.completion_tokens if self.usage else self.pieces,
            is_estimated=self.usage is None,
            first_byte_ms=_milliseconds(self.clock.first),
            latency_ms=_milliseconds(time.monotonic() - self.clock.asked),
        )
        await sync_to_async(budgets.settle)(self.held, [line])


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


class Clock:
    """When the pieces of one answer came; times in seconds since it was made, which is when the question was asked."""

    def __init__(self):
        self.asked = time.monotonic()
        self.started: float | None = None  # the first sign of an answer, which may hold no text yet
        self.first: float | None = None
        self.last: float | None = None

    def note(self, text: str) -> None:
        now = time.monotonic() - self.asked
        self.started = now if self.started is None else self.started
        if text:
            self.first = now if self.first is None else self.first
            self.last = now

    def figures(self, usage: Usage | None) -> dict[str, Any]:
        """`seconds` of writing, without loading; `first_seconds` to the first words, with it; tokens, and how fast."""
        ended = time.monotonic() - self.asked
        tokens = usage.completion_tokens if usage else None
        # The first token's time is that of reading the question; speed is that of writing the others.
        writing = (self.last or 0) - (self.first or 0)
        speed = round((tokens - 1) / writing, 1) if tokens and tokens > 1 and writing > 0 else None
        return {
            "seconds": round(ended - self.started, 2) if self.started is not None else 0,
            "first_seconds": None if self.first is None else round(self.first, 2),
            "tokens": tokens,
            "tokens_per_second": speed,
        }


def event(data: dict) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def plain_words(error: ApiError) -> str:
    """The words for a person; a program gets the error as it is."""
    match error.code:
        case "backend_unavailable":
            return _("The answering process is not up yet. Ask again in a few seconds.")
        case "overloaded":
            return _("Many questions are being answered right now. Ask again in a moment.")
        case "context_length_exceeded":
            return _("This question is longer than the model can read at once. Ask a shorter one.")
        case "answer_broke_off":
            return _("The answer broke off because the answering process stopped. Ask again.")
        case "base_model_not_here":
            return _("The base model is not on this machine any more, so nothing can answer.")
        case "model_not_found":
            return _("There is no such model that you can ask. It may have been deleted; choose another one.")
    return error.message
