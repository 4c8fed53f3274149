"""Which of several servers answers, and what happens when that one is away. No Django rows in here."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from serving.backends.base import (
    Ability,
    Backend,
    BackendUnavailable,
    Delta,
    Place,
    Reply,
    Scored,
    Target,
    Wire,
)
from serving.in_flight import IN_FLIGHT, InFlight
from serving.protocol import ApiError, ChatRequest

logger = logging.getLogger(__name__)

# A server that was away a moment ago is asked last for so long.
SUSPECT_SECONDS = 5.0


class Router:
    """Orders places: first those not found away, of these the one with the fewest answers of ours, then in turn."""

    def __init__(self, in_flight: InFlight = IN_FLIGHT, clock: Callable[[], float] = time.monotonic):
        self.in_flight, self._clock = in_flight, clock
        self._turns = count()
        self._away_until: dict[str, float] = {}

    def ordered(self, places: tuple[Place, ...]) -> list[Place]:
        if len(places) < 2:
            return list(places)
        turn, now = next(self._turns) % len(places), self._clock()
        turned = [*places[turn:], *places[:turn]]
        return sorted(
            turned,
            key=lambda place: (
                self._away_until.get(place.node, 0.0) > now,
                self.in_flight.by_node[place.node],
            ),
        )

    def note_away(self, place: Place) -> None:
        self._away_until[place.node] = self._clock() + SUSPECT_SECONDS


ROUTER = Router()


class RoutedBackend:
    """A target's places as one backend. While no word of an answer has come, another place takes over.

    `target` has one place at least. `backend_at` opens a place; `on_away` hears of one that was not there.
    """

    def __init__(
        self,
        target: Target,
        backend_at: Callable[[Place], Backend],
        *,
        router: Router = ROUTER,
        on_away: Callable[[Place], None] | None = None,
    ):
        self._target, self._backend_at, self._router, self._on_away = target, backend_at, router, on_away
        self._opened: dict[str, Backend] = {}
        self._wires: dict[str, Wire | None] = {}
        self._any = self._at(target.places[0])  # all of a pool are of one kind

    @property
    def abilities(self) -> frozenset[Ability]:
        return self._any.abilities

    def refusal(self, status: int, text: str) -> ApiError:
        return self._any.refusal(status, text)

    def wire(self) -> Wire | None:
        node = self._router.ordered(self._target.places)[0].node
        if node not in self._wires:
            place = next(place for place in self._target.places if place.node == node)
            found = self._at(place).wire()
            self._wires[node] = replace(found, node=node) if found else None
        return self._wires[node]

    def under_way(self, wire: Wire | None) -> AbstractContextManager[None]:
        if wire is None:  # then `forward` counts
            return nullcontext()
        return self._router.in_flight.answering(self._target.deployment, wire.node)

    def note_away(self, wire: Wire | None) -> None:
        """For whoever went to `wire` by itself and found nobody there."""
        for place in self._target.places:
            if wire and place.node == wire.node:
                self._note(place, nobody())

    async def models(self) -> list[str]:
        return await self._first(lambda backend: backend.models())

    async def is_healthy(self) -> bool:
        for _place, backend in self._backends():
            if await backend.is_healthy():
                return True
        return False

    async def ensure_loaded(self, target: Target) -> None:
        await self._first(lambda backend: backend.ensure_loaded(target))

    async def stream_chat(self, target: Target, request: ChatRequest) -> AsyncIterator[Delta]:
        problem: BackendUnavailable | None = None
        for place, backend in self._backends():
            has_begun = False
            with self._router.in_flight.answering(self._target.deployment, place.node):
                try:
                    async with aclosing(backend.stream_chat(target, request)) as deltas:
                        async for delta in deltas:
                            has_begun = True
                            yield delta
                    return
                except BackendUnavailable as error:
                    self._note(place, error)
                    if has_begun:
                        raise
                    problem = error
        raise problem or nobody()

    async def chat(self, target: Target, request: ChatRequest) -> Delta:
        return await self._first(lambda backend: backend.chat(target, request))

    async def load_adapter(self, name: str, path: Path) -> None:
        raise TypeError("Adapters are loaded on one node, not on whichever answers.")

    async def unload_adapter(self, name: str) -> None:
        raise TypeError("Adapters are unloaded on one node, not on whichever answers.")

    async def token_ids(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        return await self._first(lambda backend: backend.token_ids(model, messages, tools))

    async def logprobs(
        self, model: str, prompt_token_ids: list[int], answer_token_ids: list[int]
    ) -> list[Scored]:
        return await self._first(lambda backend: backend.logprobs(model, prompt_token_ids, answer_token_ids))

    async def forward(self, path: str, body: dict[str, Any]) -> Reply:
        """As a backend's; the answer counts as under way until it is closed."""
        problem: BackendUnavailable | None = None
        for place, backend in self._backends():
            end = self._begin(place)
            try:
                reply = await backend.forward(path, body)
            except BackendUnavailable as error:
                end()
                self._note(place, error)
                problem = error
                continue
            except BaseException:
                end()
                raise
            return _counted(reply, end)
        raise problem or nobody()

    async def _first(self, ask: Callable[[Backend], Any]) -> Any:
        problem: BackendUnavailable | None = None
        for place, backend in self._backends():
            with self._router.in_flight.answering(self._target.deployment, place.node):
                try:
                    return await ask(backend)
                except BackendUnavailable as error:
                    self._note(place, error)
                    problem = error
        raise problem or nobody()

    def _backends(self) -> Iterator[tuple[Place, Backend]]:
        for place in self._router.ordered(self._target.places):
            yield place, self._at(place)

    def _at(self, place: Place) -> Backend:
        if place.node not in self._opened:
            self._opened[place.node] = self._backend_at(place)
        return self._opened[place.node]

    def _begin(self, place: Place) -> Callable[[], None]:
        """Counts one answer; what it returns ends it, once."""
        deployment, in_flight = self._target.deployment, self._router.in_flight
        in_flight.begin(deployment, place.node)
        is_open = True

        def end() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                in_flight.end(deployment, place.node)

        return end

    def _note(self, place: Place, error: BackendUnavailable) -> None:
        logger.warning("node %s is away: %s", place.node, error)
        self._router.note_away(place)
        if self._on_away:
            self._on_away(place)


def nobody() -> BackendUnavailable:
    return BackendUnavailable("No server has this model ready. Ask again in a few seconds.")


def _counted(reply: Reply, end: Callable[[], None]) -> Reply:
    """The reply, which ends the count when it is read to its end or closed, whichever comes first."""
    inner, close = reply.chunks, reply.close

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in inner:
                yield chunk
        finally:
            end()

    async def close_and_end() -> None:
        try:
            await close()
        finally:
            end()

    reply.chunks, reply.close = chunks(), close_and_end
    return reply
