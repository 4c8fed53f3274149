"""One question to a minion from any door: limits and budgets before, the pipeline, what came of it kept afterwards."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apex.common.async_database import in_database
from apex.common.refusals import ApiError
from ledger.budgets import release, reserve, settle
from ledger.holding_on import HoldingOn, a_subject
from ledger.models import Reservation
from minions import booking, limits
from minions.conversations import finish_answer, turns_before
from minions.flow import Event, Question, Said
from minions.means import HouseMeans, prices_of
from minions.models import AnswerStatus, AnswerTrace, Minion, MinionToken, MinionVersion
from minions.pipeline import Pipeline
from minions.prompts import question_of
from minions.recipes import Recipe, recipe_from, recipe_of
from minions.services import keep_version
from minions.tracing import Trace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. `answer_id` is the message that waits for it, where it comes from a conversation.

    `is_own_token`: `token_id` is that of the minion's own token, which is looked at once more.
    """

    minion_id: uuid.UUID
    question: Question
    source: str
    token_id: uuid.UUID | None = None
    answer_id: uuid.UUID | None = None
    is_stream: bool = True
    is_own_token: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    minion: Minion
    version: MinionVersion
    recipe: Recipe
    means: HouseMeans
    reservation: Reservation


async def begin(asked: Asked) -> Answering:
    """Everything that can refuse a question before it costs anything. Raises ApiError.

    The minion's own limit, budgets with their arithmetic, what the minion lacks. What is held is given back by
    `events`, which the caller reads or closes.
    """
    trace = Trace()
    try:
        minion = await in_database(_minion, asked)
        await limits.take(minion)
        prepared = await _hold(minion, asked)
    except ApiError as problem:
        await in_database(_leave_unanswered, asked, AnswerStatus.FAILED, str(problem))
        raise
    except asyncio.CancelledError:
        await in_database(_leave_unanswered, asked, AnswerStatus.STOPPED, "")
        raise
    return Answering(asked, prepared, trace)


async def _hold(minion: Minion, asked: Asked) -> _Prepared:
    """Holds what it could cost; gives it back where the asker leaves meanwhile."""
    preparing = asyncio.ensure_future(in_database(_prepare, minion, asked))
    try:
        return await asyncio.shield(preparing)
    except asyncio.CancelledError:
        prepared = await preparing
        await in_database(release, prepared.reservation)
        raise


class Answering:
    """A question on its way. Read `events` once; `trace`, `text` and `status` hold when it has ended."""

    def __init__(self, asked: Asked, prepared: _Prepared, trace: Trace):
        self.asked, self.minion, self.version = asked, prepared.minion, prepared.version
        self.trace, self.text, self.status = trace, "", AnswerStatus.FAILED
        self.means, self.row = prepared.means, None
        self._prepared, self._holding_on = prepared, HoldingOn(prepared.reservation)
        self._pipeline = Pipeline(prepared.recipe, asked.question, prepared.means, trace)

    @property
    def lineage(self) -> dict[str, str]:
        """Where the answer comes from: kind → id. What answered in the end is in `trace`."""
        found = {"minion": str(self.minion.pk), "minion-version": str(self.version.number)}
        adapter = self.minion.adapter
        if adapter is not None and self._prepared.recipe.has_style:
            found |= {
                "adapter": str(adapter.pk),
                "job": str(adapter.job_id),
                "dataset-version": str(adapter.dataset_version_id),
            }
        return found

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens, as it happens. Raises ApiError: NoAnswer while no word has come, AnswerBroke after that.

        However it ends (closing it ends what is under way), what it took is booked and what came of it is kept.
        """
        self._holding_on.begin()
        try:
            async with aclosing(self._pipeline.run()) as events:
                async for event in events:
                    if isinstance(event, Said):
                        self.text += event.text
                    yield event
            self.status = AnswerStatus.DONE
        except (asyncio.CancelledError, GeneratorExit):
            self.status = AnswerStatus.STOPPED
            raise
        except Exception as problem:
            self.status = AnswerStatus.BROKEN if self.text else AnswerStatus.FAILED
            self.trace.problem = self.trace.problem or str(problem)
            raise
        finally:
            self._holding_on.end()
            # A client that leaves cancels this task; what was used is written down all the same.
            kept = asyncio.ensure_future(in_database(self._keep))
            self.row = await asyncio.shield(kept)

    async def whole(self) -> tuple[str, list[dict[str, Any]], str]:
        """`(text, tool calls, finish reason)` of all of it. Raises ApiError, AnswerBroke too."""
        calls: list[dict[str, Any]] = []
        reason = "stop"
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, Said):
                    calls += event.tool_calls
                    reason = event.finish_reason or reason
        return self.text, calls, reason

    def _keep(self) -> AnswerTrace:
        trace, asked = self.trace, self.asked
        last = trace.stages[-1] if trace.stages else None
        if last is not None and self.text and not trace.model:
            # Stopped in the middle: the words are somebody's all the same.
            trace.answered_by(last)
        with transaction.atomic():
            settle(self._prepared.reservation, booking.lines_of(self))
            row = AnswerTrace.objects.create(
                owner_id=self.minion.owner_id, minion=self.minion, version=self.version, token_id=asked.token_id,
                source=asked.source, status=self.status, model=trace.model[:255], provider=trace.provider[:80],
                why=trace.why[:500], problem=trace.problem[:500],
                stages=storable([each.told() for each in trace.stages]),
                input_tokens=trace.input_tokens, output_tokens=trace.output_tokens, cost=trace.cost,
                own_ms=round(trace.clock.own_ms(), 3), first_ms=trace.clock.first_ms, total_ms=trace.clock.now(),
            )  # fmt: skip
            if asked.answer_id:
                finish_answer(
                    answer_id=asked.answer_id, status=self.status, text=self.text, trace=row,
                    citations=storable(trace.citations), problem=storable(trace.problem),
                )  # fmt: skip
        return row


def _minion(asked: Asked) -> Minion:
    """Raises ApiError where it has gone meanwhile, or its token has been made anew."""
    rows = Minion.objects.filter(pk=asked.minion_id, owner__is_active=True)
    minion = rows.select_related("owner", "adapter__base_model").first()
    if minion is None:
        raise ApiError(
            "There is no such minion (any more).", status=404, param="model", code="model_not_found"
        )
    if asked.is_own_token and not MinionToken.objects.filter(pk=asked.token_id, minion=minion).exists():
        raise ApiError("This token was ended; there may be a new one.", status=401, code="invalid_api_key")
    return minion


def _prepare(minion: Minion, asked: Asked) -> _Prepared:
    version, recipe = version_now(minion)
    prices = prices_of(recipe, minion.owner)
    means = HouseMeans(minion.owner, recipe, prices)
    pipeline = Pipeline(recipe, asked.question, means)
    look_up = means.most_of_look_up(question_of(pipeline.turns))
    most = booking.most(recipe, pipeline.turns, prices, means.own_price, look_up)
    reservation = reserve(
        minion.owner, most, token=asked.token_id,
        minion_id=minion.pk, what=f"A question to {minion.name}", subject=a_subject("answer"),
    )  # fmt: skip
    return _Prepared(minion, version, recipe, means, reservation)


def version_now(minion: Minion) -> tuple[MinionVersion, Recipe]:
    """The version that shapes an answer now. What changed below it (a deleted adapter, say) makes a new one."""
    recipe = recipe_of(minion, minion.knowledge_bases.values_list("pk", flat=True))
    newest = minion.versions.first()
    if newest is None or recipe_from(newest.recipe) != recipe:
        newest = keep_version(minion=minion)
    return newest, recipe


def _leave_unanswered(asked: Asked, status: str, problem: str) -> None:
    if asked.answer_id:
        finish_answer(answer_id=asked.answer_id, status=status, text="", problem=problem)
    log.info("a question to the minion %s was not asked: %s", asked.minion_id, problem or "its asker left")


__all__ = ["Answering", "Asked", "begin", "turns_before", "version_now"]


def storable(value: Any) -> Any:
    """`value` as PostgreSQL's JSON can hold it: the character NUL becomes U+FFFD."""
    if isinstance(value, str):
        return value.replace("\x00", "�")
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(name): storable(each) for name, each in value.items()}
    return value
