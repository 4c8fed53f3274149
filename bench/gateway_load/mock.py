"""`python -m bench.gateway_load.mock PORT CHUNKS`: OpenAI's chat completions in 0 ms, whole or in CHUNKS chunks."""

import asyncio
import json
import sys

import uvloop

MODEL = "bench"


def whole() -> bytes:
    message = {"role": "assistant", "content": "The capital of Turkey is Ankara. " * 4}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 24, "completion_tokens": 32, "total_tokens": 56}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return json.dumps(answer | {"choices": [choice], "usage": usage}).encode()


def events(chunks: int) -> list[bytes]:
    """The stream's events; as vLLM's, without spaces."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

    def event(more: dict) -> bytes:
        return b"data: " + json.dumps(base | more, separators=(",", ":")).encode() + b"\n\n"

    def choice(delta: dict, reason: str | None = None) -> dict:
        return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    texts = [event(choice({"content": f"word{number} "})) for number in range(chunks)]
    usage = {
        "choices": [],
        "usage": {"prompt_tokens": 24, "completion_tokens": chunks, "total_tokens": 24 + chunks},
    }
    first, last = event(choice({"role": "assistant", "content": ""})), event(choice({}, "stop"))
    return [first, *texts, last, event(usage), b"data: [DONE]\n\n"]


class Mock(asyncio.Protocol):
    """One connection; requests come one after another."""

    whole_answer = b""
    stream_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    stream_events: list[bytes] = []

    def connection_made(self, transport) -> None:
        self.transport, self.rest = transport, b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].lower()
            begin = head.find(b"content-length:")
            size = int(head[begin + 15 :].split(b"\r\n", 1)[0]) if begin >= 0 else 0
            if len(self.rest) < end + 4 + size:
                return
            body, self.rest = self.rest[end + 4 : end + 4 + size], self.rest[end + 4 + size :]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self.transport.write(self.whole_answer)
            return
        # Who asks without the count gets none, as by vLLM.
        counted = b"include_usage" in body
        sent = [one for one in self.stream_events if counted or b'"usage"' not in one]
        self.transport.write(self.stream_head)
        # Each event in a write of its own, as a server does that has just made a token.
        for one in sent:
            self.transport.write(b"%x\r\n%b\r\n" % (len(one), one))
        self.transport.write(b"0\r\n\r\n")


async def serve(port: int, chunks: int) -> None:
    body = whole()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    Mock.whole_answer, Mock.stream_events = head + body, events(chunks)
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
