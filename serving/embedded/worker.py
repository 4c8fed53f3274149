"""The one thread that touches torch: takes orders, and gives every open answer one step in turn.

Steps of different answers never overlap, so an answer of the base can never see an adapter of its neighbour.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.protocol import ApiError, ChatRequest

if TYPE_CHECKING:
    from serving.embedded.generation import Answer, Piece
    from serving.embedded.shelf import Shelf

log = logging.getLogger(__name__)

# Answers written at the same time; so many more wait their turn, and the rest are turned away.
MAX_ANSWERS = 16
MAX_WAITING = 64


class Ticket:
    """One answer on its way from the worker thread to the event loop that asked for it."""

    def __init__(self, request: ChatRequest):
        self.request = request
        self.is_cancelled = False
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | ApiError] = asyncio.Queue()

    def put(self, piece: Piece | ApiError) -> None:
        """Called by the worker thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    async def pieces(self) -> AsyncIterator[Piece]:
        """The steps of the answer, the last one with its `end`; raises ApiError."""
        while True:
            piece = await self._pieces.get()
            if isinstance(piece, ApiError):
                raise piece
            yield piece
            if piece.end:
                return


class Worker:
    """Owns the shelf. `load_*`, `unload_adapter` and `submit` are called from the event loop."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting: deque[Ticket] = deque()
        self._open: deque[tuple[Ticket, Answer]] = deque()
        self._shelf: Shelf | None = None
        self.cancelled = 0  # answers whose asker left before their end
        self._thread = threading.Thread(target=self._work, name="torch", daemon=True)
        self._thread.start()

    @property
    def is_heavy(self) -> bool:
        """Whether torch is in memory."""
        return self._shelf is not None

    @property
    def answers(self) -> int:
        """Answers that are being written or wait for their turn."""
        return len(self._open) + len(self._waiting)

    def cards(self) -> list[dict]:
        return self._shelf.cards() if self._shelf else []

    async def load_base(self, name: str, path: Path) -> None:
        await self._order(lambda: self._heavy().load_base(name, path))

    async def load_adapter(self, name: str, path: Path, base_name: str, is_in_place: bool) -> None:
        await self._order(lambda: self._heavy().load_adapter(name, path, base_name, is_in_place=is_in_place))

    async def unload_adapter(self, name: str) -> None:
        await self._order(lambda: self._heavy().unload_adapter(name))

    def submit(self, request: ChatRequest) -> Ticket:
        """Queues an answer; cancel it by setting `is_cancelled`, which holds from its next token on.

        Raises ApiError 503 `overloaded` when too many wait already.
        """
        if self.answers + self._orders.qsize() >= MAX_ANSWERS + MAX_WAITING:
            raise ApiError(
                f"{MAX_WAITING} answers are waiting for their turn already. Ask again in a moment.",
                status=503, kind="server_error", code="overloaded",
            )  # fmt: skip
        ticket = Ticket(request)
        self._orders.put(lambda: self._waiting.append(ticket))
        return ticket

    def stop(self) -> None:
        self._orders.put(None)
        self._thread.join(timeout=10)

    async def _order(self, work: Callable[[], Any]) -> None:
        done: Future = Future()

        def run() -> None:
            try:
                done.set_result(work())
            # Whatever happened belongs to the one who asked; the thread must live on.
            except Exception as error:
                done.set_exception(_as_api_error(error))

        self._orders.put(run)
        await asyncio.wrap_future(done)

    def _heavy(self) -> Shelf:
        if self._shelf is None:
            import torch

            torch.set_num_threads(_cores())
            from serving.embedded.shelf import Shelf

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
        # Those whose asker left must not keep others from waiting.
        self._waiting = deque(ticket for ticket in self._waiting if not ticket.is_cancelled)
        while self._waiting and len(self._open) < MAX_ANSWERS:
            self._begin(self._waiting.popleft())
        if not self._open:
            return
        ticket, answer = self._open[0]
        if ticket.is_cancelled:
            self.cancelled += 1
            self._end()
            return
        try:
            piece = answer.advance()
        except Exception as error:
            self._end()
            ticket.put(_as_api_error(error))
            return
        if piece and piece.end:
            self._end()
        else:
            self._open.rotate(-1)
        if piece:
            ticket.put(piece)

    def _end(self) -> None:
        """Closes the answer whose turn it is."""
        _, answer = self._open[0]
        answer.close()
        self._open.popleft()

    def _begin(self, ticket: Ticket) -> None:
        try:
            answer = self._heavy().open_answer(ticket.request)
        except Exception as error:
            ticket.put(_as_api_error(error))
            return
        self._open.append((ticket, answer))


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
