"""A server that speaks OpenAI's protocol as it is told to: it answers, streams, refuses, hangs or breaks off."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Asked:
    """A request that came: its path, headers (lower case), body, and when its asker hung up."""

    path: str
    headers: dict[str, str]
    body: dict
    connection: int
    left_at: float | None = None


@dataclass
class Script:
    """What is answered: `pieces` as chunks of the transfer, a pause before each; then an end, or none.

    `may_write` is asked before each piece by its number, over and over until it says yes.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    pause: float = 0.0
    ends: str = (
        "well"  # "breaks": hangs up without an end; "hangs": says nothing more; "silent": nothing at all
    )
    is_chunked: bool = True
    may_write: Callable[[int], bool] = lambda number: True


def whole(model: str, text: str = "Hello", prompt_tokens: int = 5, completion_tokens: int = 2) -> Script:
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
    }
    return Script(pieces=[json.dumps(answer | {"usage": usage}).encode()], is_chunked=False)


def event(data: dict) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def chunk(model: str, text: str, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    )


def usage_chunk(model: str, prompt_tokens: int, completion_tokens: int) -> bytes:
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    return event(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": model,
            "choices": [],
            "usage": usage,
        }
    )


DONE = b"data: [DONE]\n\n"


class MockServer:
    """Runs in a thread of its own; `answer` says what each request gets (`Script`), `asked` what came."""

    def __init__(self, answer: Callable[[Asked], Script]):
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "MockServer":
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.set_exception_handler(lambda loop, context: None)  # tests stop it in the middle of answers
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while asked := await self._read(reader, number):
                self.asked.append(asked)
                script = self.answer(asked)
                watch = asyncio.create_task(self._watch(reader, asked))
                ended_well = await self._write(writer, script, asked, watch)
                if not ended_well:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _read(self, reader, number: int) -> Asked | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Asked(head[0].split()[1], headers, json.loads(body) if body else {}, number)

    async def _watch(self, reader, asked: Asked) -> None:
        """Nothing comes while an answer is written, unless the asker hangs up."""
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        asked.left_at = time.monotonic()

    async def _write(self, writer, script: Script, asked: Asked, watch: asyncio.Task) -> bool:
        if script.ends == "silent":
            return False
        kind = "text/event-stream" if script.is_chunked and script.status == 200 else "application/json"
        size = sum(map(len, script.pieces))
        length = "transfer-encoding: chunked" if script.is_chunked else f"content-length: {size}"
        more = "".join(f"{name}: {value}\r\n" for name, value in script.headers.items())
        if script.ends == "hangs" and not script.pieces:
            while asked.left_at is None:
                await asyncio.sleep(0.005)
            return False
        writer.write(f"HTTP/1.1 {script.status} X\r\ncontent-type: {kind}\r\n{length}\r\n{more}\r\n".encode())
        for index, piece in enumerate(script.pieces):
            if script.pause:
                await asyncio.sleep(script.pause)
            while not script.may_write(index) and asked.left_at is None:
                await asyncio.sleep(0.002)
            if script.ends == "well" and index == len(script.pieces) - 1:
                watch.cancel()  # from here on the next request may come
                await asyncio.sleep(0)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if script.is_chunked else piece)
            await writer.drain()
        if script.ends == "hangs":
            while asked.left_at is None:
                await asyncio.sleep(0.005)
            return False
        if script.ends == "breaks":
            return False
        if script.is_chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
