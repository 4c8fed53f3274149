"""An answer as server-sent events, for the chat page and the API: stages, switches, words, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from django.utils.translation import gettext as _

from apex.common.refusals import ApiError
from minions import answering
from minions.answering import Answering, Asked
from minions.asking import Switched
from minions.flow import Event, Said, StageBegan, StageEnded
from minions.thinking import Thought, ThoughtsDropped
from serving.answering import event

log = logging.getLogger(__name__)


async def answer_events(asked: Asked) -> AsyncIterator[str]:
    """`{"stage": {…}}`, `{"switched": {…}}` and `{"delta"}` …, then `{"done": {…}}` or `{"error", "broken"}`.

    Of a model that thinks `{"thought", "model"}` as it thinks, before the first word too; a `{"thought_dropped":
    {"model"}}` takes back all of that model's so far, where it does not answer after all.
    Closing it ends the answer; what had come is kept.
    """
    try:
        under_way = await answering.begin(asked)
        async with aclosing(under_way.events()) as events:
            async for each in events:
                if told := told_of(each):
                    yield event(told)
    except ApiError as problem:
        yield event(
            {"error": problem.message, "code": problem.code, "broken": problem.code == "answer_broke_off"}
        )
        return
    except Exception:
        log.exception("an answer of the minion %s broke", asked.minion_id)
        yield event(
            {"error": _("The server had an error. Its log (web.log) says why."), "code": "server_error"}
        )
        return
    yield event({"done": ended(under_way)})


def told_of(each: Event) -> dict[str, Any] | None:
    """The event as JSON; what stages were told is in the trace and not repeated here."""
    if isinstance(each, StageBegan):
        return {"stage": {"kind": each.kind, "status": "began"}}
    if isinstance(each, StageEnded):
        stage = each.stage
        return {
            "stage": {
                "kind": stage.kind, "status": stage.status, "model": stage.model, "ms": round(stage.took_ms),
                "passages": len(stage.passages), "says": stage.done_about,
            }
        }  # fmt: skip
    if isinstance(each, Switched):
        return {"switched": {"model": each.model, "before": each.before, "why": each.why}}
    if isinstance(each, Thought):
        return {"thought": each.text, "model": each.model}
    if isinstance(each, ThoughtsDropped):
        return {"thought_dropped": {"model": each.model}}
    if isinstance(each, Said):
        told: dict[str, Any] = {"delta": each.text} if each.text else {}
        if each.tool_calls:
            told["tool_calls"] = list(each.tool_calls)
        return told or None
    return None


def ended(under_way: Answering) -> dict[str, Any]:
    trace = under_way.trace
    return {
        "status": under_way.status,
        "model": trace.model,
        "provider": trace.provider,
        "why": trace.why,
        "citations": len(trace.citations),
        "tokens": trace.output_tokens,
        "cost": str(trace.cost),
        "first_ms": None if trace.clock.first_ms is None else round(trace.clock.first_ms),
        "own_ms": round(trace.clock.own_ms(), 2),
    }
