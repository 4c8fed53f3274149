"""A server that speaks Ollama's own protocol (docs/api.md there) and its OpenAI surface, as far as ours is used."""

import hashlib
import json
from contextlib import contextmanager

from aiohttp import web

from tests.serving.embedding_server import embedded_as
from tests.serving.threaded import running_app

EMBEDDERS = {"nomic-embed-text:latest"}
LIBRARY = {"llama3.2:latest", "qwen3:0.6b"}


class FakeOllama:
    """`models` are those on the machine, by name, with what they were made of; `blobs` are files by digest."""

    def __init__(self) -> None:
        self.models: dict[str, dict] = {"llama3.2:latest": {}}
        self.blobs: dict[str, bytes] = {}
        self.sent = 0
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/api/chat", self._load)
        app.router.add_post("/api/create", self._create)
        app.router.add_post("/api/pull", self._pull)
        app.router.add_delete("/api/delete", self._delete)
        app.router.add_route("HEAD", "/api/blobs/{digest}", self._has_blob)
        app.router.add_post("/api/blobs/{digest}", self._take_blob)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embed)
        return app

    async def _tags(self, request: web.Request) -> web.Response:
        cards = [{"name": name, "model": name, "size": 1, "digest": "d"} for name in self.models]
        return web.json_response({"models": cards})

    async def _load(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        if full(name) not in self.models:
            return missing(name)
        return web.json_response({"model": name, "done_reason": "load", "done": True})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        for digest in [*body.get("files", {}).values(), *body.get("adapters", {}).values()]:
            if digest not in self.blobs:
                return web.json_response({"error": f"blob {digest} not found"}, status=400)
        if "from" not in body and "files" not in body:
            return web.json_response({"error": "neither 'from' or 'files' was specified"}, status=400)
        response = await lines(request, [{"status": "gathering model components"}])
        if "from" in body and full(body["from"]) not in self.models:
            # Found out after the answer has begun, so it comes in a line.
            await say(response, {"error": "pull model manifest: file does not exist"})
            return response
        self.models[full(body["model"])] = body
        await say(response, {"status": "writing manifest"})
        await say(response, {"status": "success"})
        return response

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        name = full((await request.json())["model"])
        response = await lines(request, [{"status": "pulling manifest"}])
        if name not in LIBRARY:
            await say(response, {"error": "pull model manifest: file does not exist"})
            return response
        await say(response, {"status": "pulling abc", "digest": "abc", "total": 10, "completed": 10})
        if name == "qwen3:0.6b":
            self.models[name] = {}
            await say(response, {"status": "success"})
        return response

    async def _delete(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        if self.models.pop(full(name), None) is None:
            return missing(name)
        return web.Response()

    async def _embed(self, request: web.Request) -> web.Response:
        """As its openai middleware: texts alone, always floats; a model for chats says that it cannot."""
        body = await request.json()
        if full(body["model"]) not in self.models:
            return missing(body["model"])
        if full(body["model"]) not in EMBEDDERS:
            message = "this model does not support embeddings"
            error = {"message": message, "type": "api_error", "param": None, "code": None}
            return web.json_response({"error": error}, status=500)
        return web.json_response(embedded_as(body["model"], body["input"]))

    async def _has_blob(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.match_info["digest"] in self.blobs else 404)

    async def _take_blob(self, request: web.Request) -> web.Response:
        content, digest = await request.read(), request.match_info["digest"]
        if digest != f"sha256:{hashlib.sha256(content).hexdigest()}":
            return web.json_response({"error": "digest does not match"}, status=400)
        self.blobs[digest] = content
        self.sent += 1
        return web.Response(status=201)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if full(body["model"]) not in self.models:
            error = {
                "message": f"model '{body['model']}' not found",
                "type": "api_error",
                "param": None,
                "code": None,
            }
            return web.json_response({"error": error}, status=404)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for text, reason in (("Hel", None), ("lo", None), ("", "stop")):
            choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}
            await event(response, {"model": body["model"], "choices": [choice]})
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
            await event(response, {"model": body["model"], "choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response


def full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def missing(name: str) -> web.Response:
    return web.json_response({"error": f"model '{name}' not found"}, status=404)


async def lines(request: web.Request, first: list[dict]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for line in first:
        await say(response, line)
    return response


async def say(response: web.StreamResponse, line: dict) -> None:
    await response.write(json.dumps(line).encode() + b"\n")


async def event(response: web.StreamResponse, body: dict) -> None:
    await response.write(f"data: {json.dumps(body)}\n\n".encode())


@contextmanager
def running_ollama():
    fake = FakeOllama()
    with running_app(fake.app()) as fake.url:
        yield fake
