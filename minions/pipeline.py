"""question → style (adapter) → knowledge → outside model → answer. What outside is asked goes through `Means`.

As drafter the adapter writes while passages are looked up, and the outside model makes an answer of both. As rewriter
it says what the outside model answered in its own words. The last stage streams. A stage that fails is dealt with as
the recipe says, and what was done about it stands in the trace (`minions.stages`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.utils.translation import gettext as _

from minions import prompts
from minions.flow import Event, Found, Means, Question, Said, StageBegan, StageEnded
from minions.models import Mode
from minions.recipes import Recipe
from minions.stages import knowledge, outside, own
from minions.stages.work import Work
from minions.tracing import Stage, Trace


class Pipeline:
    """One answer. `trace` is filled in as it comes about; read it when `run` has ended, however it ended."""

    def __init__(self, recipe: Recipe, question: Question, means: Means, trace: Trace | None = None):
        self.trace = trace or Trace()
        self.turns = prompts.recent(question.messages, recipe.history_tokens)
        self._work = Work(recipe, question, means, self.trace, self.turns)
        self._recipe, self._question = recipe, question
        self._draft: Stage | None = None
        self._found = Found("")

    async def run(self) -> AsyncGenerator[Event, None]:
        """Raises NoAnswer while no word has come, AnswerBroke after that. Closing it closes what is under way."""
        if not self._recipe.has_chain:
            stream = self._style_answer()
        elif self._recipe.rewrites and not self._question.tools:
            stream = self._answer_rewritten()
        else:
            stream = self._answer()
        try:
            async with aclosing(stream) as events:
                async for event in events:
                    if isinstance(event, Said) and (event.text or event.tool_calls):
                        self.trace.clock.note_first()
                    yield event
        finally:
            self.trace.close()

    # --- The ways through ---------------------------------------------------------------------------------------

    def _style_answer(self) -> AsyncGenerator[Event, None]:
        """What it learned answers alone."""
        if not self._recipe.has_style:
            words = _("This minion has nothing that could answer: give it an adapter or an outside model.")
            raise self._work.no_answer(words)
        return own.answer(self._work)

    async def _answer(self) -> AsyncGenerator[Event, None]:
        """Draft and look-up side by side, then the outside model streams."""
        async with aclosing(self._prepare()) as events:
            async for event in events:
                yield event
        messages = prompts.answer_messages(
            self._recipe.persona, self.turns, passages=self._found.fenced,
            draft=self._draft.text if self._draft else "",
        )  # fmt: skip
        async with aclosing(outside.answer(self._work, messages, draft=self._draft)) as events:
            async for event in events:
                yield event

    async def _answer_rewritten(self) -> AsyncGenerator[Event, None]:
        """The outside model answers unseen, and the adapter says it in its own words."""
        async with aclosing(self._prepare(with_draft=False)) as events:
            async for event in events:
                yield event
        messages = prompts.answer_messages(self._recipe.persona, self.turns, passages=self._found.fenced)
        answer: Stage | None = None
        async with aclosing(outside.answer(self._work, messages, is_whole=True)) as events:
            async for event in events:
                if isinstance(event, StageEnded):
                    answer = event.stage
                if not isinstance(event, Said):
                    yield event
        assert answer is not None  # else it was raised
        async with aclosing(own.answer(self._work, instead=answer)) as events:
            async for event in events:
                yield event

    async def _prepare(self, with_draft: bool = True) -> AsyncGenerator[Event, None]:
        """The draft and the look-up, at the same time where there are both."""
        wanted = []
        if with_draft and self._recipe.mode == Mode.HYBRID:
            wanted.append(("style", self._write_draft))
        if self._recipe.mode in (Mode.HYBRID, Mode.RAG_ONLY):
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

    async def _write_draft(self) -> Stage:
        stage = await own.draft(self._work)
        self._draft = stage if stage.text else None
        return stage

    async def _look_up(self) -> Stage:
        stage, self._found = await knowledge.look_up(self._work)
        return stage
