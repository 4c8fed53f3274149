"""What it learned: the adapter, as draft for others, as the last stage, and as an answer alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.utils.translation import gettext as _

from apex.common.refusals import ApiError
from minions import prompts
from minions.flow import AnswerBroke, Event, LocalPiece, Said, StageBegan, StageEnded
from minions.models import OnFailure
from minions.stages.work import Work
from minions.tracing import Stage


async def draft(work: Work) -> Stage:
    """Its text is empty where there is none. Raises NoAnswer where it fails and the recipe says so."""
    recipe, stage = work.recipe, work.trace.begin("style")
    if not recipe.has_style:
        stage.status, stage.done_about = "skipped", _("No adapter is chosen, so there is no draft.")
        return work.trace.end(stage)
    messages = prompts.style_messages(recipe.persona, work.turns)
    for model in models(work):
        try:
            async with aclosing(_ask(work, stage, model, messages, recipe.style_tokens)) as pieces:
                async for _piece in pieces:
                    continue
            return work.trace.end(stage)
        except ApiError as problem:
            _note(stage, problem)
            stage.text = ""  # half a draft is none
    stage.status = "failed"
    if recipe.on_style_failure != OnFailure.FAIL:
        stage.done_about = _("Went on without a draft.")
        return work.trace.end(stage)
    work.trace.end(stage)
    raise work.no_answer(_("What it learned did not answer: %(why)s") % {"why": stage.problem})


async def answer(work: Work, *, instead: Stage | None = None) -> AsyncGenerator[Event, None]:
    """The last stage: the answer of what it learned, or, where `instead` holds one, that one in its own words.

    `instead` is given as it is where this fails, unless the recipe says that there is no answer then.
    """
    recipe = work.recipe
    if instead is None:
        stage, messages = work.trace.begin("style"), prompts.style_messages(recipe.persona, work.turns)
    else:
        stage = work.trace.begin("rewrite")
        messages = prompts.rewrite_messages(recipe.persona, work.turns, instead.text)
    yield StageBegan(stage.kind)
    for model in models(work):
        try:
            pieces = _ask(work, stage, model, messages, work.question.most_tokens(recipe))
            async with aclosing(pieces) as each:
                async for piece in each:
                    if piece.text or piece.finish_reason:
                        yield Said(piece.text, (), piece.finish_reason)
            work.trace.answered_by(stage)
            yield StageEnded(work.trace.end(stage))
            return
        except ApiError as problem:
            _note(stage, problem)
            if stage.text:  # words that were read are not taken back
                stage.status = "broken"
                work.trace.answered_by(stage)
                work.trace.problem = stage.problem
                work.trace.end(stage)
                raise AnswerBroke(_("The answer broke off: %(why)s") % {"why": problem}) from problem
    stage.status = "failed"
    if instead is None or recipe.on_style_failure == OnFailure.FAIL:
        work.trace.end(stage)
        raise work.no_answer(_("What it learned did not answer: %(why)s") % {"why": stage.problem})
    stage.done_about = _("The answer is given as the outside model wrote it.")
    yield StageEnded(work.trace.end(stage))
    work.trace.answered_by(instead)
    yield Said(instead.text, (), "stop")


def models(work: Work) -> list[str]:
    """Whom to ask: the adapter, and its base where the recipe falls back on it."""
    recipe = work.recipe
    assert recipe.adapter is not None
    if recipe.on_style_failure == OnFailure.FALL_BACK and recipe.adapter_base:
        return [recipe.adapter, recipe.adapter_base]
    return [recipe.adapter]


async def _ask(
    work: Work, stage: Stage, model: str, messages: list[dict[str, Any]], max_tokens: int
) -> AsyncGenerator[LocalPiece, None]:
    """One of our own models; what it says and takes goes into `stage`. Raises ApiError."""
    clock, begun = work.trace.clock, work.trace.clock.now()
    if stage.model:
        stage.done_about = _("The base model was asked in its place.")
    stage.model, stage.provider, stage.prompt = model, "apex", messages
    pieces = work.means.local(
        model, messages, max_tokens=max_tokens, temperature=work.question.how_warm(work.recipe),
        stop=work.question.stop,
    )  # fmt: skip
    try:
        async with aclosing(pieces) as each:
            while True:
                with clock.outside():
                    piece = await anext(each, None)
                if piece is None:
                    break
                if piece.text and stage.first_ms is None:
                    stage.first_ms = clock.now() - begun
                stage.text += piece.text
                if piece.usage:
                    stage.input_tokens, stage.output_tokens = (
                        piece.usage.prompt_tokens,
                        piece.usage.completion_tokens,
                    )
                yield piece
    finally:
        stage.seconds += (clock.now() - begun) / 1000
        if not stage.input_tokens and stage.text:  # it was ended before it counted
            stage.is_estimated = True
            stage.input_tokens, stage.output_tokens = (
                prompts.tokens_in(messages),
                prompts.tokens_of(stage.text),
            )
        work.means.note_local(stage)


def _note(stage: Stage, problem: ApiError) -> None:
    said = f"{stage.model}: {problem}"
    stage.problem = f"{stage.problem}; {said}" if stage.problem else said
