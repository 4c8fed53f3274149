"""HTTP/1.1 to the servers that answer: connections kept open, bytes in, bytes out, nothing else.

A general client spends more time on a request than all the rest of the gateway (docs/decisions/0100).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from serving.backends.base import Reply, Wire
from serving.protocol import ApiError

CONNECT_SECONDS = 5.0
# Shorter than the 5 s after which uvicorn (vLLM, too) hangs up: the other order loses a request now and then.
KEEP_SECONDS = 4.0
# Between two bytes. A long answer that is not streamed says nothing while it is written.
SILENCE_SECONDS = 600.0
# Bytes of an answer that wait for a slow reader, before the server is held up too.
READ_AHEAD = 256 * 1024


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


class Connection(asyncio.Protocol):
    """One connection, with one answer at a time."""

    def __init__(self, pool: Pool):
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_open = True
        self._is_paused = False
        self._ends_by_closing = False
        self.touched_at = 0.0  # when something last went or came

    def ask(self, head: bytes, body: bytes) -> Answer:
        self._answer = answer = Answer(self)
        self._ends_by_closing = False
        self.touched_at = self._loop.time()
        self._transport.writelines((head, body))
        return answer

    @property
    def is_usable(self) -> bool:
        """Open, and the server will not have hung up yet."""
        return self._is_open and self._loop.time() - self.touched_at < KEEP_SECONDS

    def go_on(self) -> None:
        if self._is_paused and self._is_open:
            self._is_paused = False
            self._transport.resume_reading()

    def hang_up(self, problem: Exception | None = None) -> None:
        self._lost(problem or BrokeOff("hung up"))
        if self._is_open:
            self._is_open = False
            self._transport.abort()

    # --- told by the loop -------------------------------------------------------------------------------------

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.touched_at = self._loop.time()
        answer = self._answer
        if answer is None:  # nobody asked: such a server cannot be trusted with the next question
            self.hang_up()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.hang_up(BrokeOff(f"no HTTP: {error}"))
            return
        if self._answer is not None:
            if answer._size > READ_AHEAD and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            answer._wake()

    def eof_received(self) -> bool:
        if self._ends_by_closing and self._answer:
            self.on_message_complete()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._is_open = False
        self._pool.forget(self)
        self._lost(BrokeOff(f"the connection was lost: {problem or 'the other end closed it'}"))

    def _lost(self, problem: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer:
            self._pool.busy.discard(self)
            answer._ended(problem if answer.status else Away(str(problem)))

    # --- told by the parser -----------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer:
            self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # "100 Continue" and the like come before the answer
            self._answer.headers.clear()
            return
        self._answer.status = status
        headers = self._answer.headers
        self._ends_by_closing = b"content-length" not in headers and b"transfer-encoding" not in headers

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        if answer:
            answer._pieces.append(body)
            answer._size += len(body)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or not answer.status:
            return
        self._answer = None
        self.go_on()
        if self._parser.should_keep_alive() and not self._ends_by_closing and self._is_open:
            self._pool.free(self)
        else:
            self._pool.busy.discard(self)
            self._is_open = False
            self._transport.close()
        answer._ended(None)


@dataclass(slots=True)
class Place:
    """Where a wire leads."""

    host: str
    port: int
    path: str | None  # of a unix socket
    tls: ssl.SSLContext | None
    name: bytes  # what the `Host` header says
    prefix: bytes  # of every path there
    headers: bytes


class Pool:
    """Connections to one place. The one that was used last is used first, so that few are kept."""

    def __init__(self, wire: Wire):
        self.place = place_of(wire)
        self._heads: dict[str, bytes] = {}
        self._idle: list[Connection] = []
        self.busy: set[Connection] = set()

    async def ask(self, path: str, request_id: str, body: bytes) -> Answer:
        """The beginning of the answer. Raises Away: also where the connection was lost before any of it came."""
        head = self._head(path) + b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (
            request_id.encode(), len(body),
        )  # fmt: skip
        if connection := self._take():
            try:
                return await self._ask(connection, head, body)
            except Away:  # an old connection, closed at the other end just now
                pass
        return await self._ask(await self._connect(), head, body)

    async def _ask(self, connection: Connection, head: bytes, body: bytes) -> Answer:
        self.busy.add(connection)
        answer = connection.ask(head, body)
        try:
            await answer.begun()
        except BaseException:
            answer.hang_up()
            raise
        return answer

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.hang_up()
        return None

    async def _connect(self) -> Connection:
        place, loop = self.place, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if place.path is not None:
                    _, made = await loop.create_unix_connection(lambda: Connection(self), place.path)
                else:
                    _, made = await loop.create_connection(
                        lambda: Connection(self), place.host, place.port, ssl=place.tls
                    )
        except (OSError, TimeoutError) as problem:
            raise Away(f"no connection: {problem or 'it takes too long'}") from problem
        return made

    def free(self, connection: Connection) -> None:
        self.busy.discard(connection)
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self.busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Ends what has been silent for too long."""
        for connection in list(self.busy):
            if now - connection.touched_at > SILENCE_SECONDS:
                connection.hang_up(BrokeOff(f"nothing came for {SILENCE_SECONDS:.0f} s"))
        for connection in list(self._idle):
            if not connection.is_usable:
                connection.hang_up()

    def close(self) -> None:
        for connection in [*self.busy, *self._idle]:
            connection.hang_up()

    def _head(self, path: str) -> bytes:
        if path not in self._heads:
            place = self.place
            self._heads[path] = b"POST %b%b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\n%b" % (
                place.prefix,
                path.encode(),
                place.name,
                place.headers,
            )
        return self._heads[path]


class Upstream:
    """Pools by wire, swept from time to time."""

    SWEEP_SECONDS = 2.0

    def __init__(self) -> None:
        self._pools: dict[Wire, Pool] = {}
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self.SWEEP_SECONDS, self._sweep)

    async def ask(self, wire: Wire, path: str, request_id: str, body: bytes) -> Answer:
        pool = self._pools.get(wire)
        if pool is None:
            pool = self._pools[wire] = Pool(wire)
        return await pool.ask(path, request_id, body)

    def close(self) -> None:
        self._timer.cancel()
        for pool in self._pools.values():
            pool.close()

    def _sweep(self) -> None:
        for pool in self._pools.values():
            pool.sweep(self._loop.time())
        self._timer = self._loop.call_later(self.SWEEP_SECONDS, self._sweep)


def place_of(wire: Wire) -> Place:
    """Raises ValueError for what is no address, and for headers that would end a line."""
    parts = urlsplit(wire.url)
    headers = "".join(f"{name}: {value}\r\n" for name, value in wire.headers)
    if headers.count("\r") + headers.count("\n") != 2 * len(wire.headers):
        raise ValueError("A header must not hold line breaks.")
    if parts.scheme == "unix":
        return Place("", 0, parts.path, None, b"localhost", b"", headers.encode("latin-1"))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"A server's address begins with unix://, http:// or https://, got {wire.url!r}.")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    prefix = parts.path.rstrip("/").encode()
    name = parts.netloc.rpartition("@")[2].encode()
    return Place(parts.hostname, port, None, tls, name, prefix, headers.encode("latin-1"))
