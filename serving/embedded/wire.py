"""Bodies in and out: what a request holds, JSON, text and server-sent events."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from serving.protocol import ApiError

MAX_BODY_BYTES = 10 * 1024 * 1024
Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


async def read_json(receive: Receive) -> Any:
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


def text_of(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        raise ApiError(f"`{name}` must be a non-empty string, got {value!r}.", param=name)
    return value


def directory_of(body: Any, name: str) -> Path:
    path = Path(text_of(body, name))
    if "\x00" in str(path) or not path.is_absolute() or not path.is_dir():
        raise ApiError(
            f"`{name}` is {str(path)!r}; no such directory on this machine.", status=404, param=name
        )
    return path


async def send_json(send: Send, status: int, body: dict) -> None:
    await _send_body(send, status, b"application/json", json.dumps(body).encode())


async def send_text(send: Send, text: str) -> None:
    await _send_body(send, 200, b"text/plain; charset=utf-8", text.encode())


async def begin_events(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def send_event(send: Send, body: dict) -> None:
    line = f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
    await send({"type": "http.response.body", "body": line, "more_body": True})


async def end_events(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _send_body(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
