"""A server that speaks Ollama's own protocol: chat as lines of JSON, tags, vectors."""

import json

from aiohttp import web

from tests.providers.fakes import BODY, FakeProvider, pieces_of, vector_of

CONTEXT = 4096


class FakeOllama(FakeProvider):
    def __init__(self) -> None:
        super().__init__()
        self.key = ""
        self.answer = "Grüße aus dem Norden 🌊, sagte sie."
        self.models = ["llama3.2:latest", "nomic-embed-text:latest"]

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/api/chat", self._chat)
        router.add_post("/api/embed", self._embed)
        router.add_get("/api/tags", self._tags)

    def is_let_in(self, request: web.Request) -> bool:
        return not self.key or super().is_let_in(request)

    def wrong_key(self, request: web.Request) -> web.Response:
        return self.refusal(401, "unauthorized")

    def refusal(self, status: int, message: str) -> web.Response:
        return web.json_response({"error": message}, status=status)

    def in_stream(self, body) -> bytes:
        return line(body)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        if full(body["model"]) not in self.models:
            return self.refusal(404, f"model '{body['model']}' not found")
        size = sum(len(message["content"]) for message in body["messages"]) // 4
        if size > CONTEXT and body.get("truncate") is False:
            return self.refusal(400, "the input length exceeds the context length")
        card = {"model": body["model"], "created_at": "2026-11-27T10:00:00.123456Z"}
        calls, text = self._answer(body)
        message = {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
        end = {
            "done": True, "done_reason": "stop", "total_duration": 5, "load_duration": 1, "prompt_eval_count": 26,
            "prompt_eval_duration": 1, "eval_count": 11, "eval_duration": 1,
        }  # fmt: skip
        if not body.get("stream", True):
            return web.json_response(card | {"message": message} | end)
        parts = [{"content": piece} for piece in pieces_of(text)] if text else []
        parts += [{"content": "", "tool_calls": [made]} for made in calls]
        lines = [line(card | {"message": {"role": "assistant"} | part, "done": False}) for part in parts]
        lines.append(line(card | {"message": {"role": "assistant", "content": ""}} | end))
        error = line({"error": "an error was encountered while running the model: unexpected EOF"})
        return await self.send(request, "application/x-ndjson", lines, error)

    def _answer(self, body: dict) -> tuple[list[dict], str]:
        if body.get("tools") and body["messages"][-1]["role"] == "user":
            calls = [
                {
                    "function": {
                        "index": i,
                        "name": tool["function"]["name"],
                        "arguments": {"place": "Köln", "n": i},
                    }
                }
                for i, tool in enumerate(body["tools"])
            ]
            return calls, ""
        return [], self.answer

    async def _embed(self, request: web.Request) -> web.Response:
        body = request[BODY]
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        found = {
            "model": body["model"],
            "embeddings": [vector_of(text) for text in texts],
            "prompt_eval_count": 3,
        }
        return web.json_response(found)

    async def _tags(self, request: web.Request) -> web.Response:
        rows = [
            {"name": name, "model": name, "modified_at": "2026-11-01T00:00:00Z", "size": 1, "digest": "d",
             "details": {"format": "gguf", "family": "x", "families": ["nomic-bert" if "embed" in name else "llama"]}}
            for name in self.models
        ]  # fmt: skip
        return web.json_response({"models": rows})


def full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def line(body: dict) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"
