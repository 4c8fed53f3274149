"""One request on its way through the gateway: who asks, what, of which model; then the answer, and what it took."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from accounts.models import Scope
from apex.common.acting import note_token
from apex.common.async_database import in_database
from gateway.hot.answers import Answer, Away, BrokeOff, PassedOn
from gateway.hot.callers import Caller
from gateway.hot.exchange import Exchange
from gateway.hot.minions import ABILITIES, MinionExchange, MinionRoute, question_of, refuse_other_than_chat
from gateway.hot.refusals import retold
from gateway.hot.relay import Stream, Used, failure_event, usage_of
from gateway.hot.requests import Body, Kind
from gateway.hot.routes import Route
from ledger.models import Measure, Outcome, Reservation
from serving import books
from serving.backends.base import AnswerBroke, BackendUnavailable, Wire
from serving.protocol import ApiError

if TYPE_CHECKING:
    from gateway.hot.app import Gateway

log = logging.getLogger(__name__)

# How often a question is put until it is told that nobody answers: models move, and processes start again.
ROUNDS = 3
LONGEST_ANSWER = 64 * 1024 * 1024
LONGEST_REFUSAL = 1024 * 1024


class Question:
    """One request on its way through the gateway."""

    def __init__(self, gateway: Gateway, kind: Kind, exchange: Exchange):
        self._gateway, self._kind, self._exchange = gateway, kind, exchange
        self._caller: Caller | None = None
        self._route: Route | None = None
        self._model = ""
        self._is_stream = self._is_broken = False
        self._used = Used()
        self._held: Reservation | None = None
        self._read_about = 0  # tokens; 0 until a model was asked
        self._minion: MinionExchange | None = None

    async def answer(self) -> None:
        gateway, exchange = self._gateway, self._exchange
        # 1. Who asks, and may they ask more in this minute? A stranger's body is not even read.
        caller = await gateway.callers.of(exchange.header(b"authorization"), Scope.CHAT)
        window = gateway.limits.take(caller)
        self._caller = caller
        note_token(caller.user, caller.token_id)
        exchange.headers += gateway.limits.headers(caller, window)
        # 2. What is asked, of which model?
        body = Body(await exchange.body())
        self._model = body.model
        exchange.watch()
        # 3. Ask. Until the first byte of an answer is there, another server or another try may do.
        problem: Exception | None = None
        for _ in range(ROUNDS):
            route = await gateway.routes.to(caller, body.model)
            if isinstance(route, MinionRoute):
                await self._ask_minion(route, body)
                return
            if problem is not None and route.target == self._route.target:
                await route.backend.ensure_loaded(route.target)
            self._route = route
            try:
                await self._ask(route, body)
                return
            except (Away, BrokeOff) as error:
                problem = error
            except ApiError as error:
                if error.code != "model_not_found":
                    raise
                problem = error
            gateway.routes.drop(caller, body.model)
        raise BackendUnavailable(
            f"Nothing answers for `{body.model}` at the moment. Ask again in a few seconds."
        ) from problem

    async def _ask_minion(self, route: MinionRoute, body: Body) -> None:
        """A minion of the caller's answers; it books what that takes by itself."""
        refuse_other_than_chat(self._kind)
        self._minion = MinionExchange(self._exchange, route, body.model)
        request = body.parsed(self._kind, ABILITIES)
        await self._minion.answer(
            question_of(request, body),
            is_stream=request.stream,
            token_id=self._caller.token_id,
            is_own_token=self._caller.minion_id is not None,
            include_usage=request.include_usage,
        )

    async def _ask(self, route: Route, body: Body) -> None:
        """One try. Raises Away or BrokeOff only while nothing has been answered."""
        backend = route.backend
        request = body.parsed(self._kind, backend.abilities)
        if self._caller.budgets and self._held is None:
            await self._hold(route, request, body.size)
        self._is_stream = getattr(request, "stream", False)
        sent = body.outgoing(self._kind, request, route.served_name, backend.abilities)
        wire = backend.wire()
        self._read_about = books.read_about(request, body.size)
        with backend.under_way(wire):
            try:
                answer = await self._begin(route, wire, sent)
            except Away:
                backend.note_away(wire)
                raise
            await self._pass_on(route, request, answer)

    async def _hold(self, route: Route, request: Any, size: int) -> None:
        """Holds what it could cost. Raises BudgetSpent. Only where a budget counts what this answer takes."""
        caller = self._caller
        counted = {Measure.TOKENS, Measure.MONEY} if route.price else {Measure.TOKENS}
        if not counted & caller.budgets:
            return
        most = books.most_of(request, size, route.price)
        what = f"{self._kind.activity} {self._model}"
        self._held = await in_database(
            lambda: books.hold(
                caller.user, most, token_id=caller.token_id, what=what, subject=self._exchange.request_id
            )
        )

    async def _pass_on(self, route: Route, request: Any, answer: Answer | PassedOn) -> None:
        exchange = self._exchange
        try:
            if answer.status != 200:
                raise await self._refusal(route, answer)
            self._say_lineage(route)
            if self._is_stream:
                await self._pass_stream(route, request, answer)
            else:
                whole = await answer.whole(LONGEST_ANSWER)
                self._used = usage_of(whole)
                await exchange.whole(200, route.rename(whole))
        finally:
            await answer.close()

    async def _begin(self, route: Route, wire: Wire | None, sent: bytes) -> Answer | PassedOn:
        """The beginning of an answer. Raises Away."""
        if wire:
            return await self._gateway.upstream.ask(wire, self._kind.path, self._exchange.request_id, sent)
        try:
            return PassedOn(await route.backend.forward(self._kind.path, json.loads(sent)))
        except BackendUnavailable as problem:
            raise Away(str(problem)) from problem
        except ApiError as error:
            self._say_lineage(route)
            raise self._retold(error, route) from error

    async def _pass_stream(self, route: Route, request: Any, answer: Answer | PassedOn) -> None:
        exchange = self._exchange
        stream = Stream(route.rename, keeps_usage=request.include_usage)
        try:
            # Before the first bytes come, whoever breaks off has not begun.
            block = await answer.next()
            await exchange.start_stream()
            exchange.watch_now()
            while block:
                if passed := stream.push(block):
                    await exchange.write(passed)
                block = await answer.next()
            rest = stream.finish()
        except BrokeOff as problem:
            if not exchange.status:
                raise
            stream.finish()
            self._is_broken = True
            log.warning("an answer of %s broke off: %s", self._model, problem)
            broke = AnswerBroke("The answering process went away in the middle of the answer.")
            rest = b"" if stream.is_done else failure_event(broke.body())
        finally:
            stream.finish()
            self._used = stream.used
        await exchange.write(rest, more=False)

    async def _refusal(self, route: Route, answer: Answer | PassedOn) -> ApiError:
        text = (await answer.whole(LONGEST_REFUSAL)).decode(errors="replace")
        error = route.backend.refusal(answer.status, text)
        self._say_lineage(route)
        if again := answer.headers.get(b"retry-after"):
            self._exchange.headers.append((b"retry-after", again))
        return self._retold(error, route)

    def _retold(self, error: ApiError, route: Route) -> ApiError:
        return retold(error, self._kind, target=route.target, asked=self._model)

    def _say_lineage(self, route: Route) -> None:
        headers = [pair for pair in self._exchange.headers if pair[0] != b"x-apex-lineage"]
        self._exchange.headers = [*headers, (b"x-apex-lineage", route.lineage)]

    def record(self) -> None:
        """What it took, written down in the background; strangers leave no row."""
        caller, exchange, used = self._caller, self._exchange, self._used
        if caller is None:
            return
        if self._minion is not None:
            used = self._minion.used
        now = time.monotonic()
        read = used.prompt_tokens
        if read is None and exchange.status in (200, books.LEFT) and not self._is_broken:
            read = self._read_about or None
        if tokens := (read or 0) + (used.completion_tokens or 0):
            self._gateway.limits.used(caller, tokens)
        if self._minion is not None:
            return
        self._gateway.recorder.note(
            books.line(
                caller.user.pk,
                self._kind.activity,
                status=exchange.status,
                outcome=Outcome.FAILED if self._is_broken else None,
                error="broken" if self._is_broken else exchange.error,
                token_id=caller.token_id,
                reference=exchange.request_id,
                model=self._model,
                adapter_id=self._route.target.lineage.get("adapter") if self._route else None,
                price=self._route.price if self._route else None,
                is_stream=self._is_stream,
                input_tokens=read,
                output_tokens=used.completion_tokens,
                is_estimated=tokens > 0 and not used.is_counted,
                first_byte_ms=_milliseconds(exchange.begun, exchange.first_byte),
                latency_ms=_milliseconds(exchange.begun, now),
            ),
            self._held,
        )


def _milliseconds(begun: float, at: float | None) -> float | None:
    return None if at is None else round((at - begun) * 1000, 3)
