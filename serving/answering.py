"""An answer as server-sent events for a page: pieces as they are written, then what they took, or why there is none."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from serving import services
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
    most_pieces: int | None = None,
    tell: Callable[[Target], Awaitable[list[dict[str, str]]]] | None = None,
) -> AsyncIterator[str]:
    """`{"delta"}` …, then `{"done": true, "words", "seconds", …}` or `{"error"}`.

    `find` brings what answers, `make_request` the request to it by its name. With `tell` the first event is
    `{"lineage": […]}`, what it says of the target. An answer of `most_pieces` pieces ends with "…".
    """
    yield ": the model may have to be loaded first\n\n"
    clock, name = Clock(), "a model"
    text, pieces, usage, reason = "", 0, None, None
    try:
        target = await find()
        name = target.model_id
        if tell:
            yield event({"lineage": await tell(target)})
        async with aclosing(services.stream_answer(target=target, request=make_request(name))) as deltas:
            async for delta in deltas:
                clock.note(delta.text)
                pieces += 1
                text += delta.text
                usage, reason = delta.usage or usage, delta.finish_reason or reason
                if delta.text:
                    yield event({"delta": delta.text})
                if pieces == most_pieces:
                    yield event({"delta": " …"})
                    break
    except ApiError as error:
        log.warning("no answer from %s: %s", name, error)
        yield event({"error": plain_words(error)})
        return
    yield event({"done": True, "words": len(text.split()), "finish_reason": reason, **clock.figures(usage)})


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
