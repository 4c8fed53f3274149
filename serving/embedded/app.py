"""The HTTP side: a raw ASGI app with vLLM's and OpenAI's routes over one `Worker`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serving.embedded.worker import Ticket, Worker
from serving.protocol import ApiError, ChatRequest, model_not_found, parse_chat_request
from serving.shapes import AnswerShape

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 10 * 1024 * 1024
Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


class App:
    """The ASGI callable. It notes when a model was last needed, so that the process can stop when idle."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self._busy = 0
        self._last_used = time.monotonic()
        self._routes = {
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/load_base_model"): self._load_base_model,
            ("POST", "/v1/load_lora_adapter"): self._load_lora_adapter,
            ("POST", "/v1/unload_lora_adapter"): self._unload_lora_adapter,
            ("POST", "/v1/chat/completions"): self._chat,
        }

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request that needed a model; 0 while one is running."""
        return 0.0 if self._busy else time.monotonic() - self._last_used

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.monotonic()
        status = 200
        try:
            await self._route(scope)(receive, send)
        except ApiError as error:
            status = error.status
            await _send_json(send, status, error.body())
        finally:
            if scope["path"] != "/health":
                took = time.monotonic() - started
                log.info("%s %s → %d in %.2f s", scope["method"], scope["path"], status, took)

    def _route(self, scope: dict) -> Callable[[Receive, Send], Awaitable[None]]:
        method, path = scope["method"], scope["path"]
        if (method, path) in self._routes:
            return self._routes[method, path]
        if path in {known for _, known in self._routes}:
            raise ApiError(f"Not allowed to {method} on {path}.", status=405, code="method_not_allowed")
        raise ApiError(f"Invalid URL ({method} {path})", status=404, code="unknown_url")

    @asynccontextmanager
    async def _in_use(self):
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._last_used = time.monotonic()

    async def _health(self, receive: Receive, send: Send) -> None:
        worker = self.worker
        facts = {"loaded": worker.is_heavy, "answers": worker.answers, "cancelled": worker.cancelled}
        await _send_json(send, 200, {"status": "ok"} | facts)

    async def _models(self, receive: Receive, send: Send) -> None:
        now = int(time.time())
        cards = [
            {"object": "model", "created": now, "owned_by": "apex"} | card for card in self.worker.cards()
        ]
        await _send_json(send, 200, {"object": "list", "data": cards})

    async def _load_base_model(self, receive: Receive, send: Send) -> None:
        body = await _read_json(receive)
        name, path = _text(body, "name"), _directory(body, "path")
        async with self._in_use():
            await self.worker.load_base(name, path)
        await _send_text(send, f"Success: base model '{name}' is loaded.")

    async def _load_lora_adapter(self, receive: Receive, send: Send) -> None:
        body = await _read_json(receive)
        name, path, base = _text(body, "lora_name"), _directory(body, "lora_path"), _text(body, "base_model")
        async with self._in_use():
            await self.worker.load_adapter(name, path, base, body.get("load_inplace") is True)
        await _send_text(send, f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_lora_adapter(self, receive: Receive, send: Send) -> None:
        name = _text(await _read_json(receive), "lora_name")
        if not self.worker.is_heavy:
            raise model_not_found(name)
        await self.worker.unload_adapter(name)
        await _send_text(send, f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, receive: Receive, send: Send) -> None:
        request = parse_chat_request(await _read_json(receive))
        # With nothing loaded the answer is known without importing torch.
        if not self.worker.is_heavy:
            raise model_not_found(request.model)
        async with self._in_use():
            ticket = self.worker.submit(request)
            watch = asyncio.create_task(_cancel_when_gone(receive, ticket))
            try:
                write = _stream_answer if request.stream else _whole_answer
                answer = asyncio.create_task(write(ticket, request, send))
                await asyncio.wait({answer, watch}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    answer.cancel()
                    log.info("the client left before the end of an answer of %s", request.model)
                    return
                answer.result()
            finally:
                ticket.is_cancelled = True
                watch.cancel()


async def _cancel_when_gone(receive: Receive, ticket: Ticket) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    ticket.is_cancelled = True


async def _whole_answer(ticket: Ticket, request: ChatRequest, send: Send) -> None:
    text = ""
    async for piece in ticket.pieces():
        text += piece.text
        if piece.end:
            body = AnswerShape(request.model).completion(text, piece.end.finish_reason, piece.end.usage)
            await _send_json(send, 200, body)


async def _stream_answer(ticket: Ticket, request: ChatRequest, send: Send) -> None:
    shape, with_usage = AnswerShape(request.model), request.include_usage
    pieces = ticket.pieces()
    # The first step tells whether the request can be answered at all: until then an error is a plain status.
    piece = await anext(pieces)
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _send_event(send, shape.first_chunk(with_usage))
    try:
        while True:
            if piece.text:
                await _send_event(send, shape.text_chunk(piece.text, with_usage))
            if piece.end:
                break
            piece = await anext(pieces)
        await _send_event(send, shape.last_chunk(piece.end.finish_reason, with_usage))
        if with_usage:
            await _send_event(send, shape.usage_chunk(piece.end.usage))
    except ApiError as error:
        await _send_event(send, error.body())
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_json(receive: Receive) -> Any:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(f"The request body is larger than {MAX_BODY_BYTES} bytes.", status=413)
        if not message.get("more_body"):
            break
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise ApiError(f"The request body is not valid JSON: {error}") from error


def _text(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        raise ApiError(f"`{name}` must be a non-empty string, got {value!r}.", param=name)
    return value


def _directory(body: Any, name: str) -> Path:
    path = Path(_text(body, name))
    if not path.is_absolute() or not path.is_dir():
        raise ApiError(
            f"`{name}` is {str(path)!r}; no such directory on this machine.", status=404, param=name
        )
    return path


async def _send_json(send: Send, status: int, body: dict) -> None:
    await _send_body(send, status, b"application/json", json.dumps(body).encode())


async def _send_text(send: Send, text: str) -> None:
    await _send_body(send, 200, b"text/plain; charset=utf-8", text.encode())


async def _send_body(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_event(send: Send, body: dict) -> None:
    line = f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
    await send({"type": "http.response.body", "body": line, "more_body": True})
