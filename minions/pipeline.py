"""question → style (adapter) → knowledge → outside model → answer. What outside is asked goes through `Means`.

As drafter the adapter writes while passages are looked up, and the outside model makes an answer of both. As rewriter
it says what the outside model answered in its own words. The last stage streams. A stage that fails is dealt with as
the recipe says, and what was done about it stands in the trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.utils.translation import gettext as _

from apex.common.refusals import ApiError
from minions import prompts
from minions.asking import BrokeOff, Chain, ChainFailed, Switched
from minions.flow import (
    AnswerBroke,
    Event,
    Found,
    LocalPiece,
    Means,
    NoAnswer,
    Question,
    Said,
    StageBegan,
    StageEnded,
)
from minions.models import Mode, OnFailure
from minions.recipes import Recipe
from minions.tracing import Stage, Trace


class Pipeline:
    """One answer. `trace` is filled in as it comes about; read it when `run` has ended, however it ended."""

    def __init__(self, recipe: Recipe, question: Question, means: Means, trace: Trace | None = None):
        self.recipe, self.question, self.means = recipe, question, means
        self.trace = trace or Trace()
        self.turns = prompts.recent(question.messages, recipe.history_tokens)
        self._found = Found("")

    async def run(self) -> AsyncGenerator[Event, None]:
        """Raises NoAnswer while no word has come, AnswerBroke after that. Closing it closes what is under way."""
        recipe = self.recipe
        if not recipe.has_chain:
            stream = self._style_answer()
        elif recipe.rewrites and not self.question.tools:
            stream = self._answer_rewritten()
        else:
            stream = self._answer()
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, Said) and (event.text or event.tool_calls):
                    self.trace.clock.note_first()
                yield event

    # --- The ways through ---------------------------------------------------------------------------------------

    def _style_answer(self) -> AsyncGenerator[Event, None]:
        """What it learned answers alone."""
        if not self.recipe.has_style:
            words = _("This minion has nothing that could answer: give it an adapter or an outside model.")
            raise self._none(words)
        messages = prompts.style_messages(self.recipe.persona, self.turns)
        return self._local_stream(
            "style", messages, self.question.most_tokens(self.recipe), self.recipe.on_style_failure
        )

    async def _answer(self) -> AsyncGenerator[Event, None]:
        """Draft and look-up side by side, then the outside model streams."""
        draft: Stage | None = None
        async with aclosing(self._prepare()) as events:
            async for event in events:
                if isinstance(event, StageEnded) and event.stage.kind == "style" and event.stage.text:
                    draft = event.stage
                yield event
        messages = prompts.answer_messages(
            self.recipe.persona, self.turns, passages=self._found.fenced, draft=draft.text if draft else ""
        )
        async with aclosing(self._chain_stream(messages, draft)) as events:
            async for event in events:
                yield event

    async def _answer_rewritten(self) -> AsyncGenerator[Event, None]:
        """The outside model answers unseen, and the adapter says it in its own words."""
        async with aclosing(self._prepare(with_style=False)) as events:
            async for event in events:
                yield event
        messages = prompts.answer_messages(self.recipe.persona, self.turns, passages=self._found.fenced)
        answer: Stage | None = None
        async with aclosing(self._chain_stream(messages, None, is_whole=True)) as events:
            async for event in events:
                if isinstance(event, StageEnded):
                    answer = event.stage
                if not isinstance(event, Said):
                    yield event
        assert answer is not None  # else it was raised
        again = prompts.rewrite_messages(self.recipe.persona, self.turns, answer.text)
        on_failure = self.recipe.on_style_failure
        async with aclosing(
            self._local_stream("rewrite", again, self.question.most_tokens(self.recipe), on_failure, answer)
        ) as events:
            async for event in events:
                yield event

    # --- Stages --------------------------------------------------------------------------------------------------

    async def _prepare(self, with_style: bool = True) -> AsyncGenerator[Event, None]:
        """The draft and the look-up, at the same time where there are both."""
        wanted = []
        if with_style and self.recipe.mode == Mode.HYBRID:
            wanted.append(("style", self._draft))
        if self.recipe.mode in (Mode.HYBRID, Mode.RAG_ONLY):
            wanted.append(("knowledge", self._look_up))
        for kind, _act in wanted:
            yield StageBegan(kind)
        tasks = [asyncio.create_task(act()) for _kind, act in wanted]
        try:
            for task in asyncio.as_completed(tasks):
                yield StageEnded(await task)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _draft(self) -> Stage:
        recipe, stage = self.recipe, self.trace.begin("style")
        if not recipe.has_style:
            stage.status, stage.done_about = "skipped", _("No adapter is chosen, so there is no draft.")
            return self._end(stage)
        messages = prompts.style_messages(recipe.persona, self.turns)
        for model in self._local_models(recipe.on_style_failure):
            try:
                async with aclosing(self._local(stage, model, messages, recipe.style_tokens)) as pieces:
                    async for _piece in pieces:
                        continue
                return self._end(stage)
            except ApiError as problem:
                self._failed(stage, problem)
        if recipe.on_style_failure == OnFailure.FAIL:
            self._end(stage)
            raise self._none(_("What it learned did not answer: %(why)s") % {"why": stage.problem})
        stage.text, stage.status, stage.done_about = "", "failed", _("Went on without a draft.")
        return self._end(stage)

    async def _look_up(self) -> Stage:
        recipe, stage = self.recipe, self.trace.begin("knowledge")
        if not recipe.has_knowledge:
            stage.status, stage.done_about = "skipped", _("No knowledge base is chosen.")
            return self._end(stage)
        asked = prompts.question_of(self.turns)
        stage.prompt = [{"role": "user", "content": asked}]
        try:
            with self.trace.clock.outside():
                self._found = await self.means.look_up(asked, stage)
        except ApiError as problem:
            self._failed(stage, problem)
            stage.status = "failed"
            self._end(stage)
            if recipe.on_knowledge_failure == OnFailure.FAIL:
                raise self._none(
                    _("Nothing could be looked up: %(why)s") % {"why": stage.problem}
                ) from problem
            stage.done_about = _("Went on without passages.")
            return stage
        stage.passages, stage.reranked = self._found.passages, self._found.reranked
        if why := next((each["problem"] for each in stage.reranked if each["problem"]), ""):
            stage.problem = _("Reranking failed: %(why)s") % {"why": why}
            stage.done_about = _("The passages are in the order of words and meaning.")
        return self._end(stage)

    async def _chain_stream(
        self, messages: list[dict[str, Any]], draft: Stage | None, *, is_whole: bool = False
    ) -> AsyncGenerator[Event, None]:
        recipe, stage = self.recipe, self.trace.begin("answer")
        stage.prompt = messages
        yield StageBegan("answer")
        chain = Chain(
            recipe.chain, open_provider=self.means.open_provider, prices=self.means.prices, choosing=recipe.choosing,
            on_failure=recipe.on_answer_failure, stage=stage, clock=self.trace.clock, owner=self.means.whose,
            is_whole=is_whole,
        )  # fmt: skip
        try:
            async with aclosing(chain.stream(self.question.call(self.recipe, messages))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Switched):
                        stage.done_about = _("%(model)s was asked in place of %(before)s: %(why)s.") % {
                            "model": piece.model, "before": piece.before, "why": piece.why,
                        }  # fmt: skip
                        yield piece
                        continue
                    stage.text += piece.text
                    stage.thought += piece.thought
                    if piece.text or piece.tool_calls or piece.finish_reason or piece.thought:
                        yield Said(piece.text, tuple(piece.tool_calls), piece.finish_reason, piece.thought)
        except ChainFailed as problem:
            stage.status, stage.problem = "failed", str(problem)
            if recipe.on_answer_failure != OnFailure.SKIP or draft is None:
                self._end(stage)
                raise self._none(_("No outside model answered: %(why)s") % {"why": problem}) from problem
            stage.done_about = _("The draft is the answer.")
            self._end(stage)
            yield StageEnded(stage)
            self.trace.answered_by(draft)
            self.trace.why = _("no outside model answered")
            yield Said(draft.text, (), "stop")
            return
        except BrokeOff as problem:
            stage.status, stage.problem = "broken", str(problem)
            self.trace.problem = stage.problem
            self.trace.answered_by(stage)
            self._end(stage)
            raise AnswerBroke(_("The answer broke off: %(why)s") % {"why": problem}) from problem
        self.trace.answered_by(stage)
        yield StageEnded(self._end(stage))

    async def _local_stream(
        self,
        kind: str,
        messages: list[dict[str, Any]],
        max_tokens: int,
        on_failure: str,
        instead: Stage | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The last stage on one of our own models. `instead` holds the answer that is given where it fails."""
        stage = self.trace.begin(kind)
        yield StageBegan(kind)
        for model in self._local_models(on_failure):
            try:
                async with aclosing(self._local(stage, model, messages, max_tokens)) as pieces:
                    async for piece in pieces:
                        if piece.text or piece.finish_reason:
                            yield Said(piece.text, (), piece.finish_reason)
                self.trace.answered_by(stage)
                yield StageEnded(self._end(stage))
                return
            except ApiError as problem:
                self._failed(stage, problem)
                if stage.text:
                    stage.status = "broken"
                    self.trace.answered_by(stage)
                    self._end(stage)
                    raise AnswerBroke(_("The answer broke off: %(why)s") % {"why": problem}) from problem
        stage.status = "failed"
        self._end(stage)
        if instead is None or on_failure == OnFailure.FAIL:
            raise self._none(_("What it learned did not answer: %(why)s") % {"why": stage.problem})
        stage.done_about = _("The answer is given as the outside model wrote it.")
        yield StageEnded(stage)
        self.trace.answered_by(instead)
        yield Said(instead.text, (), "stop")

    async def _local(
        self, stage: Stage, model: str, messages: list[dict[str, Any]], max_tokens: int
    ) -> AsyncGenerator[LocalPiece, None]:
        """One of our own models; what it says and takes goes into `stage`. Raises ApiError."""
        clock, begun = self.trace.clock, self.trace.clock.now()
        stage.model, stage.provider, stage.prompt = model, "apex", messages
        pieces = self.means.local(
            model,
            messages,
            max_tokens=max_tokens,
            temperature=self.question.how_warm(self.recipe),
            stop=self.question.stop,
        )
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
            self.means.note_local(stage)

    # --- Small words ---------------------------------------------------------------------------------------------

    def _local_models(self, on_failure: str) -> list[str]:
        recipe = self.recipe
        assert recipe.adapter is not None
        wants_base = on_failure == OnFailure.FALL_BACK and recipe.adapter_base
        return [recipe.adapter, recipe.adapter_base] if wants_base else [recipe.adapter]  # type: ignore[list-item]

    def _failed(self, stage: Stage, problem: ApiError) -> None:
        if stage.problem:
            stage.problem = f"{stage.problem}; {stage.model}: {problem}"
        else:
            stage.problem = f"{stage.model}: {problem}" if stage.model else str(problem)
        if self.recipe.on_style_failure == OnFailure.FALL_BACK and stage.kind in ("style", "rewrite"):
            stage.done_about = _("The base model was asked in its place.")

    def _end(self, stage: Stage) -> Stage:
        self.trace.end(stage)
        return stage

    def _none(self, message: str) -> NoAnswer:
        self.trace.problem = message
        return NoAnswer(message)
