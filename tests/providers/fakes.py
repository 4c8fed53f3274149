"""What the stand-ins for providers have in common: what they saw, what goes wrong next, and writing it slowly.

A test starts one in a thread (`with running(FakeOpenAI()) as fake:`) and gives its `url` to an adapter. What shall go
wrong is put into `fake.script`, one `Fault` for each request to come; without any it answers well.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.serving.threaded import running_app

BODY = web.RequestKey("body", dict)
KEY = "sk-test-0123456789abcdefghijklmnop"


@dataclass
class Fault:
    """`status` refuses at once with `body`. Else the stream ends after `after` events (below 0: so many before the
    last): `end` ends it properly, `cut` hangs up, `silent` says nothing more, `error` sends `body` as the protocol's
    own error in mid-stream."""

    status: int = 0
    body: dict | str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    how: str = "cut"


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: dict


class FakeProvider:
    """`split` is the number of bytes of each write (0: an event in one), `pause` the seconds between two events.
    `dress` makes of the events of a stream others that the protocol allows."""

    def __init__(self) -> None:
        self.key = KEY
        self.script: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.split = 0
        self.pause = 0.0
        self.dress: Callable[[list[bytes]], list[bytes]] = list
        self.left = 0  # streams whose reader went away before the end
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._note])
        self.add_routes(app.router)
        return app

    def add_routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    def is_let_in(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.key}"

    def refusal(self, status: int, message: str, **more) -> web.Response:
        raise NotImplementedError

    @web.middleware
    async def _note(self, request: web.Request, handler) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path_qs, headers, body))
        request[BODY] = body
        if not self.is_let_in(request):
            return self.wrong_key(request)
        if self.script and self.script[0].status:
            fault = self.script.popleft()
            if isinstance(fault.body, str):
                return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
            return web.json_response(fault.body, status=fault.status, headers=fault.headers)
        return await handler(request)

    def wrong_key(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    async def send(self, request: web.Request, content_type: str, events: list[bytes], error: bytes = b""):
        """Writes the events as the script says."""
        fault = self.script.popleft() if self.script else None
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        events = self.dress(events)
        try:
            for number, event in enumerate(events):
                if fault and number == fault.after % len(events):
                    if fault.how == "end":
                        return response
                    if fault.how == "cut":
                        request.transport.abort()
                        return response
                    if fault.how == "silent":
                        await asyncio.sleep(60)
                    await self.write(response, error if not fault.body else self.in_stream(fault.body))
                    return response
                await self.write(response, event)
                if self.pause:
                    await asyncio.sleep(self.pause)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        return response

    def in_stream(self, body) -> bytes:
        raise NotImplementedError

    async def write(self, response: web.StreamResponse, event: bytes) -> None:
        step = self.split or len(event) or 1
        for start in range(0, len(event), step):
            await response.write(event[start : start + step])


@contextmanager
def running(fake, port: int = 0):
    with running_app(fake.app(), port=port) as fake.url:
        yield fake


def vector_of(text: str) -> list[float]:
    """Always the same one for a text."""
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def pieces_of(text: str) -> list[str]:
    """Words with what follows them."""
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:]


def sse(body: dict | str, name: str = "") -> bytes:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()
