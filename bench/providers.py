"""What asking a provider costs us: three clients on the same wire, and our adapter on the one that was chosen.

A server in 0 ms on one core, the asker on another, in turns. Requests are small chats; streams have as many events as
the gateway's. The time is the processor's: over the internet it is all that is ours. The client of `gateway.hot` is
not for providers (it follows no guard and knows no GET), it shows what is possible.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator

from bench.figures import figure
from bench.gateway import CHUNKS, mock_server

ROUNDS = 5
AT_ONCE = (1, 32)
REQUESTS = 600
STREAMS = 64

BODY = {"model": "bench", "messages": [{"role": "user", "content": "What is the capital of Turkey?"}]}
STREAM = BODY | {"stream": True, "stream_options": {"include_usage": True}}
PEER = "httpx2"

# Asks once, whole or streamed, and reads all of it; returns bytes or pieces.
Ask = Callable[[bool], Awaitable[int]]


def measure() -> Iterator[dict]:
    """Requests and events a second of processor time, medians of interleaved rounds."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.test")
    import django

    django.setup()
    cores = sorted(os.sched_getaffinity(0))
    with mock_server({cores[-1]}) as mock:
        os.sched_setaffinity(0, {cores[0]})
        try:
            rates = asyncio.run(rounds(f"http://127.0.0.1:{mock.port}"))
        finally:
            os.sched_setaffinity(0, set(cores))
    for name in ("aiohttp", "our adapter on aiohttp", "gateway.hot"):
        for what, unit in rates[PEER]:
            middle = statistics.median(rates[name][what, unit])
            yield figure(f"{name}: {what}", middle, unit, PEER, statistics.median(rates[PEER][what, unit]))


async def rounds(url: str) -> dict[str, dict[tuple[str, str], list[float]]]:
    ways, closings = await clients(url)
    rates: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in ways}
    for number in range(ROUNDS + 1):
        for name, ask in ways.items():
            found = {}
            for at_once in AT_ONCE:
                found[f"requests, {at_once} at once", "requests/s"] = await rate(
                    ask, False, REQUESTS, at_once
                )
            events = await rate(ask, True, STREAMS, 16) * CHUNKS
            found["events of streams, 16 at once", "events/s"] = events
            if number:  # the first is for warming up
                for what, value in found.items():
                    rates[name].setdefault(what, []).append(value)
    for close in closings:
        await close()
    return rates


async def rate(ask: Ask, is_stream: bool, count: int, at_once: int) -> float:
    """Answers a second of this process's processor time."""
    left = iter(range(count))

    async def one_after_another() -> None:
        for _number in left:
            assert await ask(is_stream) > 0

    began = time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return count / (time.process_time() - began)


async def clients(url: str) -> tuple[dict[str, Ask], list[Callable[[], Awaitable[None]]]]:
    import httpx2

    from apex.common.connections import connections
    from gateway.hot.upstream import Upstream
    from providers.backends.custom import Custom
    from providers.base import Access, Call
    from serving.backends.base import Wire

    path = "/v1/chat/completions"
    bodies = {is_stream: json.dumps(STREAM if is_stream else BODY).encode() for is_stream in (True, False)}
    headers = {"content-type": "application/json"}
    theirs = httpx2.AsyncClient(trust_env=False, limits=httpx2.Limits(max_connections=None))
    session = await (await connections(30)).to(url, None, None)  # type: ignore[arg-type]
    upstream, wire = Upstream(), Wire(url)
    provider = Custom(Access("", f"{url}/v1"))

    async def by_httpx2(is_stream: bool) -> int:
        async with theirs.stream("POST", url + path, content=bodies[is_stream], headers=headers) as answer:
            return sum([len(block) async for block in answer.aiter_raw()])

    async def by_aiohttp(is_stream: bool) -> int:
        async with session.post(url + path, data=bodies[is_stream], headers=headers) as answer:
            return sum([len(block) async for block in answer.content.iter_any()])

    async def by_gateway(is_stream: bool) -> int:
        answer = await upstream.ask(wire, path, "bench", bodies[is_stream])
        size = 0
        while block := await answer.next():
            size += len(block)
        return size

    async def by_adapter(is_stream: bool) -> int:
        call = Call("bench", BODY["messages"])  # type: ignore[arg-type]
        if not is_stream:
            return len((await provider.chat(call)).text)
        return len([piece async for piece in provider.stream(call)])

    async def close() -> None:
        upstream.close()

    ways: dict[str, Ask] = {
        PEER: by_httpx2, "aiohttp": by_aiohttp, "our adapter on aiohttp": by_adapter, "gateway.hot": by_gateway,
    }  # fmt: skip
    return ways, [theirs.aclose, close]
