"""A server that speaks OpenAI's chat completions, embeddings and models; also as NVIDIA and Hugging Face do."""

import base64
import json
import struct

from aiohttp import web

from tests.providers.fakes import BODY, FakeProvider, pieces_of, sse, vector_of

MODELS = [
    "gpt-4o-mini",
    "gpt-5.1",
    "o3",
    "text-embedding-3-small",
    "meta/llama-3.1-8b-instruct",
    "owner/model:groq",
]
THINKING = ("gpt-5", "o3")


class FakeOpenAI(FakeProvider):
    """`flavour` is `openai`, `nvidia` (problem+json, open list of models) or `huggingface` (its own lists)."""

    def __init__(self, flavour: str = "openai") -> None:
        super().__init__()
        self.flavour = flavour
        self.answer = "Grüße aus dem Norden 🌊, sagte sie."
        self.models = list(MODELS)
        self.tells_usage = True
        self.thought, self.thought_name = (
            "",
            "reasoning_content",
        )  # of a model that thinks, as vLLM hands it out
        self.is_strict = False  # refuses `max_tokens` and a temperature for every model

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/chat/completions", self._chat)
        router.add_post("/v1/embeddings", self._embeddings)
        router.add_get("/v1/models", self._models)
        router.add_get("/api/whoami-v2", self._whoami)
        router.add_post("/hf-inference/models/{model:.+}/pipeline/feature-extraction", self._features)

    def is_let_in(self, request: web.Request) -> bool:
        is_open = self.flavour != "openai" and request.path == "/v1/models"
        return is_open or super().is_let_in(request)

    def wrong_key(self, request: web.Request) -> web.Response:
        if self.flavour == "nvidia":
            body = {"status": 403, "title": "Forbidden", "detail": "Authorization failed"}
            return web.json_response(body, status=403, content_type="application/problem+json")
        if self.flavour == "huggingface":
            return web.json_response({"error": "Invalid username or password."}, status=401)
        echoed = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.refusal(
            401, f"Incorrect API key provided: {echoed}. You can find your API key at https://platform.openai.com/.",
            code="invalid_api_key",
        )  # fmt: skip

    def refusal(self, status: int, message: str, *, kind="invalid_request_error", param=None, code=None):
        error = {"message": message, "type": kind, "param": param, "code": code}
        return web.json_response({"error": error}, status=status)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        model = body["model"]
        if model not in self.models:
            if self.flavour == "nvidia":
                detail = "Function '0f0f': Not found for account 'abc'"
                return web.json_response({"status": 404, "title": "Not Found", "detail": detail}, status=404)
            message = f"The model `{model}` does not exist or you do not have access to it."
            return self.refusal(404, message, code="model_not_found")
        if self.is_strict or model.startswith(THINKING):
            if "max_tokens" in body:
                message = (
                    "Unsupported parameter: 'max_tokens' is not supported with this model. "
                    "Use 'max_completion_tokens' instead."
                )
                return self.refusal(400, message, param="max_tokens", code="unsupported_parameter")
            if body.get("temperature", 1) != 1:
                message = (
                    "Unsupported value: 'temperature' does not support 0.5 with this model. "
                    "Only the default (1) value is supported."
                )
                return self.refusal(400, message, param="temperature", code="unsupported_value")
        message, finish = self._message(body)
        usage = {
            "prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        card = {
            "id": "chatcmpl-1",
            "created": 1764000000,
            "model": f"{model}-2024-07-18",
            "system_fingerprint": "fp_1",
        }
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
            whole = (
                card
                | {"object": "chat.completion", "choices": [choice]}
                | ({"usage": usage} if self.tells_usage else {})
            )
            return web.json_response(whole)
        wants_usage = (body.get("stream_options") or {}).get("include_usage") and self.tells_usage
        pieces = [*deltas(message), {}]
        if self.flavour == "huggingface":
            pieces = [said_in_full(delta, message) for delta in pieces]
        chunks = [self._chunk(card, delta, None, wants_usage) for delta in pieces[:-1]]
        chunks.append(self._chunk(card, pieces[-1], finish, wants_usage))
        if wants_usage:
            chunks.append(card | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
        # Comments keep proxies awake.
        events = [b": keep-alive\n\n", *(sse(chunk) for chunk in chunks), b"data: [DONE]\n\n"]
        error = sse({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})
        return await self.send(request, "text/event-stream; charset=utf-8", events, error)

    def in_stream(self, body) -> bytes:
        return sse(body)

    def _message(self, body: dict) -> tuple[dict, str]:
        last = body["messages"][-1]
        if body.get("tools") and last["role"] == "user" and body.get("tool_choice") != "none":
            made = [
                {"id": f"call_{i}", "type": "function",
                 "function": {"name": tool["function"]["name"], "arguments": json.dumps({"place": "Köln", "n": i})}}
                for i, tool in enumerate(body["tools"])
            ]  # fmt: skip
            return {"role": "assistant", "content": None, "tool_calls": made, "refusal": None}, "tool_calls"
        thought = {self.thought_name: self.thought} if self.thought else {}
        return {"role": "assistant", "content": self.answer, "refusal": None} | thought, "stop"

    def _chunk(self, card: dict, delta: dict, finish: str | None, wants_usage) -> dict:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = card | {"object": "chat.completion.chunk", "service_tier": "default", "choices": [choice]}
        return chunk | ({"usage": None} if wants_usage else {})

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = request[BODY]
        if self.flavour == "nvidia" and "input_type" not in body:
            return web.json_response(
                {"error": "'input_type' parameter is required for asymmetric models"}, status=400
            )
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        rows = [
            {"object": "embedding", "index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)
        ]
        if body.get("encoding_format") == "base64":
            for row in rows:
                row["embedding"] = base64.b64encode(struct.pack("<8f", *row["embedding"])).decode()
        # Nothing promises an order.
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response(
            {"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage}
        )

    async def _models(self, request: web.Request) -> web.Response:
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "system"} for name in self.models]
        if self.flavour == "huggingface":
            for row in rows:
                row["providers"] = [
                    {"provider": "groq", "status": "live", "context_length": 131072, "supports_tools": True,
                     "pricing": {"input": 0.2, "output": 0.6}},
                    {"provider": "dear", "status": "live", "pricing": {"input": 2, "output": 6}},
                    {"provider": "gone", "status": "error", "pricing": {"input": 0.01, "output": 0.01}},
                ]  # fmt: skip
        return web.json_response({"object": "list", "data": rows})

    async def _whoami(self, request: web.Request) -> web.Response:
        return web.json_response({"type": "user", "name": "alice-hf", "auth": {"type": "access_token"}})

    async def _features(self, request: web.Request) -> web.Response:
        asked = request[BODY]["inputs"]
        found = vector_of(asked) if isinstance(asked, str) else [vector_of(text) for text in asked]
        return web.json_response(found)


def said_in_full(delta: dict, message: dict) -> dict:
    """As Hugging Face's description has it: the role stands in every piece, id and type in every piece of a call."""
    calls = [
        piece | {"id": message["tool_calls"][piece["index"]]["id"], "type": "function"}
        for piece in delta.get("tool_calls", [])
    ]
    return {"role": "assistant", **delta} | ({"tool_calls": calls} if calls else {})


def deltas(message: dict) -> list[dict]:
    """A message as the real API cuts it: the role first, then words, or calls with their arguments in bits."""
    if not message.get("tool_calls"):
        first = {"role": "assistant", "content": "", "refusal": None}
        thoughts = [
            {name: piece}
            for name in ("reasoning_content", "reasoning") if message.get(name)
            for piece in pieces_of(message[name])
        ]  # fmt: skip
        return [first, *thoughts, *({"content": piece} for piece in pieces_of(message["content"]))]
    found: list[dict] = [{"role": "assistant", "content": None}]
    for index, made in enumerate(message["tool_calls"]):
        function = {"name": made["function"]["name"], "arguments": ""}
        found.append(
            {"tool_calls": [{"index": index, "id": made["id"], "type": "function", "function": function}]}
        )
        text = made["function"]["arguments"]
        for start in range(0, len(text), 5):
            found.append(
                {"tool_calls": [{"index": index, "function": {"arguments": text[start : start + 5]}}]}
            )
    return found
