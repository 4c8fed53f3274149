"""One request and its answer on the ASGI side: reading within limits, noticing who leaves, answering."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count

from apex.common.rates import TooMany
from gateway.hot.limits import Headers, encoded
from ledger.refusals import BudgetSpent
from serving.protocol import ApiError

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]

MAX_BODY_BYTES = 4 * 1024 * 1024
# Of a body that is too long so much more is read, so that the client gets to read why.
READ_ON_BYTES = 32 * 1024 * 1024
BODY_SECONDS = 60.0
# An answer of the usual speed is through before it is worth looking whether its reader is still there.
WATCH_AFTER_SECONDS = 0.02

JSON = b"application/json"
STREAM = b"text/event-stream; charset=utf-8"
STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


# Ids must not repeat, and need not be secret: drawing each of them anew would cost more than checking its token.
PROCESS = secrets.token_hex(10)
NUMBERS = count()


class ClientLeft(Exception):
    """Nobody reads the answer any more."""


class Exchange:
    """`headers` go with whatever is answered; `status` is 0 until something is."""

    __slots__ = (
        "scope", "request_id", "begun", "first_byte", "status", "error", "headers", "has_left", "writes_since",
        "_receive", "_send", "_task", "_timer", "_watch", "_loop", "_is_late",
    )  # fmt: skip

    def __init__(self, scope: dict, receive: Receive, send: Send):
        self.scope, self._receive, self._send = scope, receive, send
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task | None = None
        self.request_id = f"req_{PROCESS}{next(NUMBERS):012x}"
        self.begun = time.monotonic()
        self.first_byte: float | None = None
        self.writes_since: float | None = None  # since when a write waits for a reader
        self.status = 0
        self.error = ""  # of a refusal, its code
        self.has_left = self._is_late = False
        self.headers: Headers = [
            (b"x-request-id", self.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]

    # --- reading -----------------------------------------------------------------------------------------------

    async def body(self) -> bytes:
        """All of it. Raises ApiError: 413 beyond the limit, 408 where it does not come; ClientLeft."""
        declared = self.header(b"content-length") or b"0"
        too_large = declared.isdigit() and int(declared) > MAX_BODY_BYTES
        parts, size = [], 0
        # A timer costs a tenth of `asyncio.timeout`, and nearly every body is here already.
        timer = self._loop.call_later(BODY_SECONDS, self._be_late)
        try:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                part = message.get("body", b"")
                size += len(part)
                too_large = too_large or size > MAX_BODY_BYTES
                if not too_large:
                    parts.append(part)
                if not message.get("more_body") or size > READ_ON_BYTES:
                    break
        except asyncio.CancelledError as problem:
            if not self._is_late:
                raise
            self._task.uncancel()
            self.headers.append((b"connection", b"close"))
            raise ApiError(
                f"The request body did not come within {BODY_SECONDS:.0f} s.",
                status=408, code="request_timeout",
            ) from problem  # fmt: skip
        finally:
            timer.cancel()
        if too_large:
            self.headers.append((b"connection", b"close"))
            raise ApiError(
                f"The request body is larger than {MAX_BODY_BYTES} bytes.", status=413, code="too_large"
            )
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _be_late(self) -> None:
        self._is_late = True
        self._task.cancel()

    def header(self, name: bytes) -> bytes | None:
        for one, value in self.scope["headers"]:
            if one == name:
                return value
        return None

    # --- who leaves --------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From now on this task is cancelled when the client leaves. Call it behind `body`."""
        self._timer = self._loop.call_later(WATCH_AFTER_SECONDS, self.watch_now)

    def watch_now(self) -> None:
        if self._watch is None and self._timer:
            self._timer.cancel()
            self._watch = self._loop.create_task(self._wait_for_leaving())

    async def _wait_for_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.leave()

    def leave(self) -> None:
        """Ends the task that answers, wherever it is."""
        if not self.has_left:
            self.has_left = True
            self._task.cancel()

    def end(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if self._watch:
            self._watch.cancel()

    # --- answering ----------------------------------------------------------------------------------------------

    async def whole(self, status: int, body: bytes, more: Headers | tuple = ()) -> None:
        self.status = status
        self.first_byte = time.monotonic()
        headers = [
            (b"content-type", JSON),
            (b"content-length", b"%d" % len(body)),
            *self.headers,
            *more,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def start_stream(self) -> None:
        self.status = 200
        self.first_byte = time.monotonic()
        headers = [(b"content-type", STREAM), *STREAM_HEADERS, *self.headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, block: bytes, more: bool = True) -> None:
        self.writes_since = time.monotonic()
        await self._send({"type": "http.response.body", "body": block, "more_body": more})
        self.writes_since = None

    async def refuse(self, error: ApiError) -> None:
        self.error = error.code or error.kind
        more: Headers = []
        if error.status == 401:
            more.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, TooMany):
            more += encoded(error.headers)
        elif isinstance(error, BudgetSpent):
            more.append((b"x-should-retry", b"false"))  # OpenAI's clients would ask again at once
        elif error.status in (429, 503) and not any(name == b"retry-after" for name, _ in self.headers):
            more.append((b"retry-after", b"2"))
        await self.whole(error.status, json.dumps(error.body()).encode(), more)
