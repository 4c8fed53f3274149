"""Asks the outside models of a chain, one after another or two at once, until one has begun to answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from django.utils.translation import gettext as _

from ledger.models import Outcome
from minions import health
from minions.choosing import Decision, Health, Situation, choose
from minions.models import Choosing, OnFailure
from minions.prompts import tokens_in, tokens_of
from minions.recipes import Link, told_apart
from minions.thinking import Thinking, Thought, ThoughtsDropped
from minions.tracing import Attempt, Beside, Clock, Stage
from minions.trials import OpenProvider, Trial
from providers.base import Call, Failure, Piece, Price, ProviderFailed, Usage

# With `hedged` the next one is asked too when the first words have not come by then.
HEDGE_SECONDS = 2.0


class ChainFailed(Exception):
    """No outside model has answered; the message says why, the stage which were tried. `kind` is that of the last."""

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind


class BrokeOff(Exception):
    """The answer ended in the middle; `message` is what the provider said."""


@dataclass(frozen=True, slots=True)
class Switched:
    """The question goes on to another model; `why` in words for the page."""

    model: str
    before: str
    why: str


class Chain:
    """Asks `links` with `call`, whose model each link replaces. What happens goes into `stage`.

    `open_provider` gives a link's client, `prices` are by `Link.name`, `owner` is whose links' health it is. With
    `is_whole` an answer is read to its end before a word of it counts, so that one that breaks off is no answer.
    Closing `stream` closes what is under way. `thinking` holds what is thought before the first word.
    """

    def __init__(
        self,
        links: Sequence[Link],
        *,
        open_provider: OpenProvider,
        prices: dict[str, Price],
        choosing: str,
        on_failure: str,
        stage: Stage,
        clock: Clock,
        owner: str,
        is_whole: bool = False,
    ):
        self._links, self._open_provider, self._prices = links, open_provider, prices
        self._names = told_apart(links)
        self._choosing, self._on_failure, self._stage, self._clock = choosing, on_failure, stage, clock
        self._is_whole, self._owner = is_whole, owner
        self._failed: dict[int, str] = {}
        self._is_hedged = False
        self._seen: dict[str, Health] | None = None
        self._noting: list[asyncio.Task[None]] = []
        self.thinking = Thinking()

    async def stream(self, call: Call) -> AsyncGenerator[Piece | Switched | Thought | ThoughtsDropped, None]:
        """Pieces of the first that answers; what is thought comes at once as `Thought` and again in the pieces, which
        are those of the answer. Raises ChainFailed while no word has come, BrokeOff after that."""
        running: dict[asyncio.Task[list[Piece]], Trial] = {}
        winner: Trial | None = None
        first: list[Piece] = []
        try:
            newest = await self._start(call, running)
            while winner is None:
                async with aclosing(self._wait(running)) as thoughts:
                    async for thought in thoughts:
                        yield thought
                done = [task for task in running if task.done()]
                if not done:  # slow to begin: the next one is asked beside it, if there is one
                    self._is_hedged = True
                    if second := await self._start_beside(call, running):
                        yield Switched(self._name(second), self._name(newest), _("it is slow to begin"))
                        newest = second
                for task in done:
                    trial = running.pop(task)
                    try:
                        pieces = task.result()
                    except ProviderFailed as problem:
                        self._note(trial, problem, is_last=not running)
                        continue
                    if winner is None:
                        winner, first = trial, pieces
                    else:
                        self._asked_in_vain(trial, pieces)
                        await trial.close()
                if winner is not None:
                    await self._call_off(running)
                    self._won(winner)
                    break
                for dropped in self.thinking.take():
                    yield dropped
                if not running:
                    before, newest = newest, await self._start(call, running)
                    yield Switched(self._name(newest), self._name(before), newest.decision.why)
            async with aclosing(self._pass_on(winner, first)) as rest:
                async for piece in rest:
                    yield piece
        finally:
            await self._call_off(running)
            if winner is not None:
                await winner.close()
            await asyncio.gather(*self._noting, return_exceptions=True)

    async def _start(self, call: Call, running: dict[asyncio.Task[list[Piece]], Trial]) -> Trial:
        """Begins the next link. Raises ChainFailed where there is none."""
        decision = await self._decide(call, self._failed)
        if decision.index is None:
            raise ChainFailed(self._words(decision), next(reversed(self._failed.values()), ""))
        return self._begin_trial(decision, call, running)

    async def _start_beside(
        self, call: Call, running: dict[asyncio.Task[list[Piece]], Trial]
    ) -> Trial | None:
        busy = {trial.index: "slow" for trial in running.values()}
        decision = await self._decide(call, {**self._failed, **busy})
        return None if decision.index is None else self._begin_trial(decision, call, running)

    async def _decide(self, call: Call, failed: dict[int, str]) -> Decision:
        begun = time.perf_counter()
        decision = choose(
            self._links,
            self._situation(call, failed),
            choosing=self._choosing,
            prices=self._prices,
            health=await self._healths(),
        )
        self._stage.choosing_ms += (time.perf_counter() - begun) * 1000
        for passed in decision.passed_over:
            told = {"model": passed.link, "why": passed.why}
            if told not in self._stage.passed_over:
                self._stage.passed_over.append(told)
        return decision

    async def _healths(self) -> dict[str, Health]:
        """Read once a question: what it sees fail, it knows by itself; and who tries whether a link is well again must
        not be told at the second look that somebody else does."""
        if self._seen is None:
            self._seen = await health.healths(self._owner, self._links)
        return self._seen

    def _begin_trial(self, decision: Decision, call: Call, running: dict) -> Trial:
        assert decision.index is not None
        trial = Trial(decision.index, self._links[decision.index], decision, time.perf_counter())
        begun = trial.begin(
            call, self._open_provider, thinks=self._thinks, tried=self._tried, in_vain=self._was_too_slow,
            is_whole=self._is_whole,
        )  # fmt: skip
        running[asyncio.create_task(begun)] = trial
        return trial

    def _situation(self, call: Call, failed: dict[int, str]) -> Situation:
        tools = sum(tokens_of(str(tool)) for tool in call.tools or ())
        return Situation(
            input_tokens=tokens_in(call.messages) + tools,
            output_tokens=call.max_tokens or 0,
            needs_tools=bool(call.tools),
            failed=failed,
        )

    def _words(self, decision: Decision) -> str:
        tried = [f"{attempt.model}: {attempt.message}" for attempt in self._stage.attempts]
        passed = [f"{passed.link}: {passed.why}" for passed in decision.passed_over]
        said = "; ".join([*tried[-3:], *passed[:3]])
        return f"{decision.why}. {said}" if said else decision.why

    async def _wait(
        self, running: dict[asyncio.Task[list[Piece]], Trial]
    ) -> AsyncGenerator[Thought | ThoughtsDropped, None]:
        """What is thought until one has begun or failed, or until it is time to ask another one beside."""
        timeout = None
        if self._choosing == Choosing.HEDGED and not self._is_hedged:
            (trial,) = running.values()
            timeout = max(0.0, trial.asked + HEDGE_SECONDS - time.perf_counter())
        # Thoughts only pass through, as words do: the time that takes is not counted as ours either.
        with self._clock.outside():
            async with aclosing(self.thinking.until_one_is_done(running, timeout)) as thoughts:
                async for thought in thoughts:
                    yield thought

    def _note(self, trial: Trial, problem: ProviderFailed, *, is_last: bool) -> None:
        """It failed for good. Raises ChainFailed where the question may not go on and nobody else is at it."""
        self._tried(trial, problem)
        self._failed[trial.index] = problem.kind
        # Beside the way on: the next one need not wait for it.
        self._noting.append(asyncio.create_task(health.note_failure(self._owner, trial.link, problem.kind)))
        may_go_on = self._on_failure != OnFailure.FAIL and problem.kind in trial.link.falls_back_on
        if is_last and not may_go_on:
            raise ChainFailed(f"{self._name(trial)}: {problem}", problem.kind) from problem

    def _thinks(self, trial: Trial, text: str) -> None:
        self.thinking.hear(self._name(trial), text)

    def _tried(self, trial: Trial, problem: ProviderFailed) -> None:
        took, name = (time.perf_counter() - trial.begun) * 1000, self._name(trial)
        asked = (trial.link.provider, trial.link.model)
        thought = self.thinking.drop(name)
        self._stage.attempts.append(
            Attempt(name, asked, problem.kind, str(problem), took, trial.is_billed, thought)
        )

    def _was_too_slow(self, trial: Trial) -> None:
        self._asked_in_vain(trial, outcome=Outcome.FAILED, error=Failure.NETWORK)

    def _asked_in_vain(
        self, trial: Trial, pieces: Sequence[Piece] = (), *, outcome: str = Outcome.LEFT, error: str = ""
    ) -> None:
        """We hang up on it before its answer counts: its provider has read the question and bills it."""
        if trial.rest is None:  # not asked yet, or refused
            return
        usage = next((piece.usage for piece in pieces if piece.usage), None)
        written = sum(_length(piece) for piece in pieces) or len(self.thinking.of(self._name(trial)))
        used = self._used(usage, written)
        price = self._prices.get(trial.link.name)
        self._stage.beside.append(
            Beside(
                trial.link.provider, trial.link.model, used.input_tokens, used.output_tokens, used.cached_tokens,
                is_estimated=usage is None, cost=price.cost(used) if price else None,
                price_source=price.source if price else "", outcome=outcome, error=error,
            )
        )  # fmt: skip
        trial.is_billed = True

    def _name(self, trial: Trial) -> str:
        return self._names[trial.index]

    async def _call_off(self, running: dict[asyncio.Task[list[Piece]], Trial]) -> None:
        for task, trial in running.items():
            self._asked_in_vain(trial)
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for trial in running.values():
            await trial.close()
        running.clear()

    def _won(self, trial: Trial) -> None:
        stage = self._stage
        stage.model, stage.provider, stage.why = trial.link.model, trial.link.provider, trial.decision.why
        if (name := self._name(trial)) != trial.link.name:
            # Of two of the same name the trace says which one it was.
            stage.why = f"{name}: {stage.why}"
        self.thinking.keep_only(name)
        stage.first_ms = self._clock.now() - stage.began_ms

    async def _pass_on(
        self, trial: Trial, first: list[Piece]
    ) -> AsyncGenerator[Piece | Thought | ThoughtsDropped, None]:
        """The answer, with what was thought and is not told yet before it; counted however far it is read."""
        stage, usage = self._stage, next((piece.usage for piece in reversed(first) if piece.usage), None)
        written = sum(map(_length, first))
        answered = asyncio.ensure_future(
            health.note_answer(self._owner, trial.link, time.perf_counter() - trial.begun)
        )
        is_ended = False
        try:
            for news in self.thinking.take():
                yield news
            for piece in first:
                is_ended = is_ended or piece.finish_reason is not None
                yield piece
            if trial.rest is not None:
                async for piece in trial.rest:
                    if piece.thought:  # those before the first word were handed on then
                        yield Thought(self._name(trial), piece.thought)
                    usage, written = piece.usage or usage, written + _length(piece)
                    is_ended = is_ended or piece.finish_reason is not None
                    yield piece
            if not is_ended:
                raise BrokeOff(_("%(model)s ended without saying why.") % {"model": self._name(trial)})
        except ProviderFailed as problem:
            await health.note_failure(self._owner, trial.link, problem.kind)
            raise BrokeOff(f"{self._name(trial)}: {problem}") from problem
        finally:
            self._count(stage, trial.link, usage, written)
            await asyncio.gather(answered, return_exceptions=True)

    def _count(self, stage: Stage, link: Link, usage: Usage | None, written: int) -> None:
        used = self._used(usage, written)
        stage.is_estimated = usage is None
        stage.input_tokens, stage.output_tokens = used.input_tokens, used.output_tokens
        stage.cached_tokens = used.cached_tokens
        if price := self._prices.get(link.name):
            stage.cost, stage.price_source = price.cost(used), price.source

    def _used(self, usage: Usage | None, written: int) -> Usage:
        """As the provider says, or estimated by what was `written`, in characters, where it did not come to say it."""
        return usage or Usage(tokens_in(self._stage.prompt), written // 3 + 1 if written else 0)


def _length(piece: Piece) -> int:
    """Characters that are billed: thoughts are, too."""
    return len(piece.text) + len(piece.thought)
