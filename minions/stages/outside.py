"""Outside models: the chain is asked, and the first that answers streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.utils.translation import gettext as _

from minions.asking import BrokeOff, Chain, ChainFailed, Switched
from minions.flow import AnswerBroke, Event, Said, StageBegan, StageEnded
from minions.models import OnFailure
from minions.stages.work import Work
from minions.tracing import Stage
from providers.base import Piece


async def answer(
    work: Work, messages: list[dict[str, Any]], *, draft: Stage | None = None, is_whole: bool = False
) -> AsyncGenerator[Event, None]:
    """The chain's answer. `draft` is given where nobody answers and the recipe says so; `is_whole` reads an answer to
    its end before a word of it counts."""
    recipe, trace = work.recipe, work.trace
    stage = trace.begin("answer")
    stage.prompt = messages
    yield StageBegan("answer")
    chain = Chain(
        recipe.chain, open_provider=work.means.open_provider, prices=work.means.prices, choosing=recipe.choosing,
        on_failure=recipe.on_answer_failure, stage=stage, clock=trace.clock, owner=work.means.whose, is_whole=is_whole,
    )  # fmt: skip
    try:
        async with aclosing(chain.stream(work.question.call(recipe, messages))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Switched):
                    stage.done_about = switched_words(piece)
                if not isinstance(piece, Piece):
                    yield piece
                    continue
                stage.text += piece.text
                stage.thought += piece.thought
                if piece.text or piece.tool_calls or piece.finish_reason or piece.thought:
                    yield Said(piece.text, tuple(piece.tool_calls), piece.finish_reason, piece.thought)
    except ChainFailed as problem:
        stage.status, stage.problem = "failed", str(problem)
        for dropped in chain.thinking.take():
            yield dropped
        if recipe.on_answer_failure != OnFailure.SKIP or draft is None:
            trace.end(stage)
            raise work.no_answer(_("No outside model answered: %(why)s") % {"why": problem}) from problem
        stage.done_about = _("The draft is the answer.")
        yield StageEnded(trace.end(stage))
        trace.answered_by(draft)
        trace.why = _("no outside model answered")
        yield Said(draft.text, (), "stop")
        return
    except BrokeOff as problem:
        stage.status, stage.problem = "broken", str(problem)
        trace.problem = stage.problem
        trace.answered_by(stage)
        trace.end(stage)
        raise AnswerBroke(_("The answer broke off: %(why)s") % {"why": problem}) from problem
    finally:
        # Of one that is left while it thinks the thoughts are kept; of one that failed they are with its try.
        stage.thought = stage.thought or chain.thinking.longest()
    trace.answered_by(stage)
    yield StageEnded(trace.end(stage))


def switched_words(switched: Switched) -> str:
    return _("%(model)s was asked in place of %(before)s: %(why)s.") % {
        "model": switched.model, "before": switched.before, "why": switched.why,
    }  # fmt: skip
