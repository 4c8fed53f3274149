"""HTTP/1.1 to the servers that answer: connections kept open, bytes in, bytes out, nothing else.

A general client spends more time on a request than all the rest of the gateway (docs/decisions/0100). A connection is
in `connections`, an answer in `answers`.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.hot.answers import Answer, Away, BrokeOff
from gateway.hot.connections import Connection
from serving.backends.base import Wire

CONNECT_SECONDS = 5.0
# Between two bytes. A long answer that is not streamed says nothing while it is written.
SILENCE_SECONDS = 600.0


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
