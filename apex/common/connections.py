"""Connections to servers of models, kept open between requests: one pool for each event loop.

Nothing is taken from the environment, no cookie is kept, and nothing is unpacked: answers are asked for as they are.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from urllib.parse import SplitResult

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from apex.common.pinned import CheckedAddresses

# Shorter than the 5 s after which uvicorn (vLLM, too) hangs up: the other order loses a request now and then.
KEEP_OPEN_SECONDS = 4
# Between two bytes. A long answer that is not streamed says nothing while it is written.
SILENCE_SECONDS = 600

# Says to which addresses a URL may lead, or raises ApiError.
Guard = Callable[[str], Awaitable[list[str]]]


class CheckedResolver(AbstractResolver):
    """Leads to addresses that were checked for this very request, and to no others."""

    def __init__(self, checked: CheckedAddresses) -> None:
        self.checked = checked

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.checked.of(host, port)
        if not found:
            raise OSError(f"{host} was not checked")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        self.checked.clear()


class Connections:
    """Of one event loop: plain ones, and those that go to checked addresses only. Idle ones stay open for a while."""

    def __init__(self, keep_open: float) -> None:
        self._checked = CheckedAddresses()
        self._plain = _session(None, keep_open)
        self._guarded = _session(CheckedResolver(self._checked), keep_open)

    async def to(self, url: str, parts: SplitResult, guard: Guard | None) -> aiohttp.ClientSession:
        """The session for a request to `url`; with a guard after asking it."""
        if guard is None:
            return self._plain
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._checked.note(parts.hostname or "", port, await guard(url))
        return self._guarded

    async def close(self) -> None:
        await self._plain.close()
        await self._guarded.close()


def _session(resolver: AbstractResolver | None, keep_open: float) -> aiohttp.ClientSession:
    # A server has no limit here: how much it takes at once is its own affair, and it queues the rest.
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=keep_open, resolver=resolver, use_dns_cache=resolver is None
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS),
        # A line of a stream may be long: a tool's arguments, log-probabilities of many tokens.
        read_bufsize=1024 * 1024,
        trust_env=False,
        # A packed answer could be a thousand times as large as what came.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


_by_loop: dict[tuple[asyncio.AbstractEventLoop, float], tuple[Connections, AsyncGenerator[None, None]]] = {}


async def connections(keep_open: float = KEEP_OPEN_SECONDS) -> Connections:
    """Those of the running loop, made at the first call and closed when the loop ends.

    `keep_open` are the seconds that an idle one is kept; each number has a pool of its own.
    """
    key = asyncio.get_running_loop(), keep_open
    if key not in _by_loop:
        made = Connections(keep_open)
        ending = _until_the_loop_ends(key, made)
        _by_loop[key] = (made, ending)
        await anext(ending)
    return _by_loop[key][0]


async def _until_the_loop_ends(
    key: tuple[asyncio.AbstractEventLoop, float], made: Connections
) -> AsyncGenerator[None, None]:
    """`asyncio.run` and its like end the generators that are open; that is the one thing a loop tells at its end."""
    try:
        yield
    finally:
        _by_loop.pop(key, None)
        await made.close()
