"""`python -m bench.gateway_load.client`, a JSON object on standard input: asks for some seconds, prints how it went.

`{"port", "token", "stream", "at_once", "seconds", "warm_up"}` → `{"requests", "seconds", "p50", "p95", "p99",
"first_p50", "first_p95", "chunks", "bad", "sha256"}`; times in milliseconds, `sha256` of the last stream's bytes.
"""

import asyncio
import hashlib
import json
import sys
import time

import uvloop

PATH = "/v1/chat/completions"
QUESTION = {
    "model": "bench",
    "messages": [
        {"role": "system", "content": "You are a helpful guide of the harbour town. Answer in one sentence."},
        {"role": "user", "content": "What is the capital of Turkey, and who told you so?"},
    ],
    "temperature": 0.7,
    "max_tokens": 64,
}


class Asker(asyncio.Protocol):
    """One connection on which the same question is asked again and again."""

    def __init__(self, request: bytes, load: "Load"):
        self.request, self.load = request, load
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.parts, self.size, self.head_end, self.length = [], 0, -1, None
        self.first = 0.0
        self.begun = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)
        if self.head_end < 0:
            whole = b"".join(self.parts)
            self.parts = [whole]
            self.head_end = whole.find(b"\r\n\r\n")
            if self.head_end < 0:
                return
            head = whole[: self.head_end].lower()
            self.is_good = b" 200 " in head[:16]
            begin = head.find(b"content-length:")
            self.length = int(head[begin + 15 :].split(b"\r\n", 1)[0]) if begin >= 0 else None
        if not self.first and self.size > self.head_end + 4:
            self.first = time.perf_counter()
        if self.length is not None:
            if self.size >= self.head_end + 4 + self.length:
                self.end()
        elif data.endswith(b"0\r\n\r\n"):
            self.end()

    def end(self) -> None:
        self.load.note(self)
        if time.perf_counter() < self.load.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, problem) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Load:
    """What all connections saw."""

    def __init__(self, seconds: float, warm_up: float):
        now = time.perf_counter()
        self.counts_from, self.until = now + warm_up, now + warm_up + seconds
        self.times, self.firsts = [], []
        self.chunks = self.bad = 0
        self.sha256 = ""

    def note(self, asker: Asker) -> None:
        now = time.perf_counter()
        if not asker.is_good:
            self.bad += 1
        if now < self.counts_from:
            return
        self.times.append(now - asker.begun)
        self.firsts.append(asker.first - asker.begun)
        if asker.length is None:
            content = unchunked(b"".join(asker.parts)[asker.head_end + 4 :])
            self.chunks += content.count(b"data: ")
            if not content.endswith(b"data: [DONE]\n\n"):
                self.bad += 1
            if not self.sha256:
                self.sha256 = hashlib.sha256(content).hexdigest()
            elif len(self.times) % 100 == 0 and hashlib.sha256(content).hexdigest() != self.sha256:
                self.bad += 1


def unchunked(body: bytes) -> bytes:
    """A chunked body's content."""
    parts, at = [], 0
    while (end := body.find(b"\r\n", at)) >= 0 and (size := int(body[at:end], 16)):
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts)


def share(values: list[float], per_cent: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(per_cent / 100 * len(ordered)))] * 1000, 4)


async def run(asked: dict) -> dict:
    body = json.dumps(QUESTION | ({"stream": True} if asked["stream"] else {})).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{asked['port']}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {asked['token']}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    load = Load(asked["seconds"], asked["warm_up"])
    loop = asyncio.get_running_loop()
    askers = []
    for _ in range(asked["at_once"]):
        _, asker = await loop.create_connection(
            lambda: Asker(head.encode() + body, load), "127.0.0.1", asked["port"]
        )
        askers.append(asker)
    await asyncio.wait_for(asyncio.gather(*(asker.done for asker in askers)), asked["seconds"] + 120)
    if not load.times:
        return {"requests": 0, "bad": load.bad or 1}
    return {
        "requests": len(load.times),
        "seconds": time.perf_counter() - load.counts_from,
        **{f"p{share_of}": share(load.times, share_of) for share_of in (50, 95, 99)},
        **{f"first_p{share_of}": share(load.firsts, share_of) for share_of in (50, 95)},
        "chunks": load.chunks,
        "bad": load.bad,
        "sha256": load.sha256,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
