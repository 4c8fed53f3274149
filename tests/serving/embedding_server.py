"""A server that makes vectors by OpenAI's protocol: of texts and token ids, shortened if asked to, in both forms."""

import base64
import hashlib
import struct
from contextlib import contextmanager

from aiohttp import web

from tests.serving.threaded import running_app

SIZE = 8
MODEL, CHATTER = "text-embedder", "chatter"


def vector_of(given: str | list[int], size: int = SIZE) -> list[float]:
    """The same for the same text, of length 1 whatever its size, as float32 holds it."""
    digest = hashlib.sha256(repr(given).encode()).digest()
    found = [one - 127.5 for one in digest[:size]]
    length = sum(one * one for one in found) ** 0.5
    return list(struct.unpack(f"<{size}f", struct.pack(f"<{size}f", *(one / length for one in found))))


def embedded_as(model: str, given, *, size: int = SIZE, encoding: str = "float") -> dict:
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    data = []
    for index, one in enumerate(inputs):
        vector = vector_of(one, size)
        told = (
            base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if encoding == "base64" else vector
        )
        data.append({"object": "embedding", "index": index, "embedding": told})
    read = sum(len(one) if isinstance(one, list) else len(one.split()) for one in inputs)
    usage = {"prompt_tokens": read, "total_tokens": read}
    return {"object": "list", "data": data, "model": model, "usage": usage}


class EmbeddingServer:
    """`asked` are the bodies that came. `CHATTER` is listed, and makes no vectors."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/embeddings", self._embed)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        cards = [{"id": name, "object": "model", "created": 1, "owned_by": "x"} for name in (MODEL, CHATTER)]
        return web.json_response({"object": "list", "data": cards})

    async def _embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if body["model"] != MODEL:
            return refusal(400, f"The model {body['model']} does not support Embeddings API", "model")
        size = body.get("dimensions", SIZE)
        if size > SIZE:
            return refusal(400, f"dimensions must be at most {SIZE}, got {size}", "dimensions")
        encoding = body.get("encoding_format", "float")
        return web.json_response(embedded_as(MODEL, body["input"], size=size, encoding=encoding))


def refusal(status: int, message: str, param: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return web.json_response({"error": error}, status=status)


@contextmanager
def running_embedder():
    server = EmbeddingServer()
    with running_app(server.app()) as server.url:
        yield server
