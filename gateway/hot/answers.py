"""An answer on its way to whoever asked: what has come of it, whichever way it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from serving.backends.base import Reply
from serving.protocol import ApiError

if TYPE_CHECKING:
    from gateway.hot.connections import Connection


class Away(Exception):
    """Nobody is there, or whoever was has gone before a byte of an answer came: another may be asked."""


class BrokeOff(Exception):
    """The answer had begun and will not end."""


class Answer:
    """One answer on its way: `status` and `headers` are there when `Upstream.ask` returns it."""

    __slots__ = ("status", "headers", "_pieces", "_size", "_is_whole", "_problem", "_waiter", "_connection")

    def __init__(self, connection: Connection):
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_whole = False
        self._problem: Exception | None = None
        self._waiter: asyncio.Future | None = None
        self._connection: Connection | None = connection

    async def next(self) -> bytes:
        """All that has come since the last time, waiting for something to come; empty at the end.

        Raises BrokeOff, after what came before.
        """
        while not self._pieces:
            if self._is_whole:
                return b""
            if self._problem:
                raise self._problem
            await self._wait()
        block = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self._size = [], 0
        if self._connection:
            self._connection.go_on()
        return block

    async def whole(self, most: int) -> bytes:
        return await all_of(self, most)

    async def close(self) -> None:
        """Hangs up if it is not through: the server stops writing. Harmless afterwards."""
        self.hang_up()

    def hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection and not self._is_whole:
            connection.hang_up()

    async def begun(self) -> None:
        while not self.status:
            if self._problem:
                raise self._problem
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- told by the connection ------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _ended(self, problem: Exception | None) -> None:
        if problem is None:
            self._is_whole = True
        else:
            self._problem = problem
        self._connection = None
        self._wake()


class PassedOn:
    """The same for an answer that came the way through a backend's `forward`."""

    __slots__ = ("status", "headers", "_reply", "_chunks")

    def __init__(self, reply: Reply):
        self.status = reply.status
        self.headers = {
            name.encode("latin-1"): value.encode("latin-1") for name, value in reply.headers.items()
        }
        self._reply, self._chunks = reply, aiter(reply.chunks)

    async def next(self) -> bytes:
        try:
            while not (block := await anext(self._chunks, None)):
                if block is None:
                    return b""
            return block
        except ApiError as problem:
            raise BrokeOff(str(problem)) from problem

    async def whole(self, most: int) -> bytes:
        return await all_of(self, most)

    async def close(self) -> None:
        await self._reply.close()


async def all_of(answer: Answer | PassedOn, most: int) -> bytes:
    """The whole of an answer; BrokeOff where it is longer than `most` bytes."""
    blocks, size = [], 0
    while block := await answer.next():
        blocks.append(block)
        size += len(block)
        if size > most:
            raise BrokeOff(f"more than {most} bytes came")
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)
