"""The one thread that touches torch: takes orders, and gives every open answer a token in turn, a pass a base."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rendering.light_imports import uncollected
from serving.embedded.parts import PLAIN, Part
from serving.protocol import ApiError, ChatRequest, CompletionRequest

if TYPE_CHECKING:
    from serving.embedded.base import LoadedBase
    from serving.embedded.generation import Answer, Piece
    from serving.embedded.shelf import Shelf

Request = ChatRequest | CompletionRequest
log = logging.getLogger(__name__)

# Answers written at the same time; so many more wait their turn, and the rest are turned away.
MAX_ANSWERS = 16
MAX_WAITING = 64


@dataclass
class Counts:
    """Since the start: tokens written, answers that began, and how long these waited for their first token."""

    tokens: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0


class Ticket:
    """The answers to one request on their way from the worker thread to the event loop that asked for them."""

    def __init__(self, request: Request, parts: Sequence[Part]):
        self.request, self.parts = request, parts
        self.is_cancelled = False
        self.asked_at = time.monotonic()
        self._begun: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[tuple[int, Piece | ApiError]] = asyncio.Queue()

    def begins(self, index: int) -> bool:
        """Whether this is the first step of that answer."""
        is_first = index not in self._begun
        self._begun.add(index)
        return is_first

    def put(self, index: int, piece: Piece | ApiError) -> None:
        """Called by the worker thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, (index, piece))

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """The steps of the answers, each with its place among `parts`; of each the last has its `end`.

        Raises ApiError where one of them cannot be answered.
        """
        unfinished = len(self.parts)
        while unfinished:
            index, piece = await self._pieces.get()
            if isinstance(piece, ApiError):
                raise piece
            unfinished -= piece.end is not None
            yield index, piece


class Worker:
    """Owns the shelf. `load_*`, `unload_adapter` and `submit` are called from the event loop."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting: deque[tuple[Ticket, int]] = deque()
        self._open: dict[Answer, tuple[Ticket, int]] = {}
        self._shelf: Shelf | None = None
        self.counts = Counts()
        self.cancelled = 0  # answers whose asker left before their end
        self._thread = threading.Thread(target=self._work, name="torch", daemon=True)
        self._thread.start()

    @property
    def is_heavy(self) -> bool:
        """Whether torch is in memory."""
        return self._shelf is not None

    @property
    def writing(self) -> int:
        return len(self._open)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def answers(self) -> int:
        """Answers that are being written or wait for their turn."""
        return self.writing + self.waiting

    def cards(self) -> list[dict]:
        return self._shelf.cards() if self._shelf else []

    async def load_base(self, name: str, path: Path) -> None:
        await self._order(lambda: self._heavy().load_base(name, path))

    async def load_adapter(self, name: str, path: Path, base_name: str | None, is_in_place: bool) -> None:
        await self._order(lambda: self._heavy().load_adapter(name, path, base_name, is_in_place=is_in_place))

    async def unload_adapter(self, name: str) -> None:
        await self._order(lambda: self._heavy().unload_adapter(name))

    async def count(self, model: str, tokens_of: Callable[[LoadedBase], list[int]]) -> tuple[list[int], int]:
        """What `tokens_of` makes of the base of `model`, and the context of that base in tokens."""

        def look() -> tuple[list[int], int]:
            base = self._heavy().base_of(model)
            return tokens_of(base), base.context

        return await self._order(look)

    def submit(self, request: Request, parts: Sequence[Part] = (PLAIN,)) -> Ticket:
        """Queues its answers; cancel them by setting `is_cancelled`, which holds from their next token on.

        Raises ApiError 503 `overloaded` when too many wait already.
        """
        if len(parts) > MAX_WAITING:
            raise ApiError(
                f"The request asks for {len(parts)} answers at once; the most is {MAX_WAITING}.",
                param="n", code="invalid_value",
            )  # fmt: skip
        if self.answers + self._orders.qsize() + len(parts) > MAX_ANSWERS + MAX_WAITING:
            raise ApiError(
                f"{self.answers} answers are being written or wait for their turn already. Ask again in a moment.",
                status=503, kind="server_error", code="overloaded",
            )  # fmt: skip
        ticket = Ticket(request, parts)
        self._orders.put(lambda: self._waiting.extend((ticket, index) for index in range(len(parts))))
        return ticket

    def stop(self) -> None:
        self._orders.put(None)
        self._thread.join(timeout=10)

    async def _order(self, work: Callable[[], Any]) -> Any:
        done: Future = Future()

        def run() -> None:
            try:
                done.set_result(work())
            # Whatever happened belongs to the one who asked; the thread must live on.
            except Exception as error:
                done.set_exception(_as_api_error(error))

        self._orders.put(run)
        return await asyncio.wrap_future(done)

    def _heavy(self) -> Shelf:
        if self._shelf is None:
            with uncollected():
                import torch

                from serving.embedded.shelf import Shelf

            torch.set_num_threads(_cores())
            self._shelf = Shelf()
        return self._shelf

    def _work(self) -> None:
        while True:
            # With nothing to write the thread sleeps until an order comes.
            is_idle = not self._open and not self._waiting
            try:
                order = self._orders.get(block=is_idle)
            except queue.Empty:
                self._step()
                continue
            if order is None:
                return
            order()

    def _step(self) -> None:
        self._let_go()
        while self._waiting and len(self._open) < MAX_ANSWERS:
            self._begin(*self._waiting.popleft())
        for base in list(dict.fromkeys(answer.base for answer in self._open)):
            for answer, given in self._step_of(base):
                self._give(answer, given)

    def _step_of(self, base: LoadedBase) -> list[tuple[Answer, Piece | Exception]]:
        try:
            return base.batch.step()
        # What is left of the batch cannot be trusted. Its answers end; the thread must live on.
        except Exception as error:
            base.start_anew()
            return [(answer, error) for answer in self._open if answer.base is base]

    def _let_go(self) -> None:
        """Those whose asker left must not keep others from waiting or writing."""
        self._waiting = deque(place for place in self._waiting if not place[0].is_cancelled)
        for answer in [answer for answer, (ticket, _) in self._open.items() if ticket.is_cancelled]:
            self.cancelled += 1
            self._end(answer)

    def _give(self, answer: Answer, given: Piece | Exception) -> None:
        ticket, index = self._open[answer]
        if not isinstance(given, Exception):
            self._count(ticket, index)
        if isinstance(given, Exception) or given.end:
            self._end(answer)
        ticket.put(index, _as_api_error(given) if isinstance(given, Exception) else given)

    def _count(self, ticket: Ticket, index: int) -> None:
        self.counts.tokens += 1
        if ticket.begins(index):
            self.counts.first_tokens += 1
            self.counts.first_token_seconds += time.monotonic() - ticket.asked_at

    def _end(self, answer: Answer) -> None:
        del self._open[answer]
        answer.close()

    def _begin(self, ticket: Ticket, index: int) -> None:
        try:
            answer = self._heavy().open_answer(ticket.request, ticket.parts[index])
        except Exception as error:
            ticket.put(index, _as_api_error(error))
            return
        self._open[answer] = (ticket, index)


def _cores() -> int:
    """Those this process may use, which in a container are fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    log.error("the work broke off", exc_info=error)
    if type(error).__name__ == "OutOfMemoryError" or "not enough memory" in str(error):
        return ApiError(
            "The memory ran out. Ask for a shorter answer, or try again when less is running.",
            status=503, kind="server_error", code="out_of_memory",
        )  # fmt: skip
    return ApiError(f"The work broke off: {type(error).__name__}: {error}", status=500, kind="server_error")
