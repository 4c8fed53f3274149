"""A server that speaks Anthropic's Messages and models, as strict as the real one where it is strict."""

import json

from aiohttp import web

from tests.providers.fakes import BODY, FakeProvider, pieces_of, sse

MODELS = ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-8"]
RETIRED = "claude-2.1"  # still listed
NO_SAMPLING = ("claude-opus-4-8",)
VERSIONS = ["2023-06-01", "2026-10-21"]
SAMPLING = {"temperature", "top_p", "top_k"}


class FakeAnthropic(FakeProvider):
    def __init__(self) -> None:
        super().__init__()
        self.answer = "Grüße aus dem Norden 🌊, sagte sie."
        self.thinks = True

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/messages", self._messages)
        router.add_get("/v1/models", self._models)

    def is_let_in(self, request: web.Request) -> bool:
        """Older clients send `x-api-key`, newer ones a bearer token."""
        return request.headers.get("x-api-key") == self.key or super().is_let_in(request)

    def wrong_key(self, request: web.Request) -> web.Response:
        return self.refusal(401, "invalid x-api-key", kind="authentication_error")

    def refusal(self, status: int, message: str, kind: str = "invalid_request_error") -> web.Response:
        error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
        return web.json_response(error, status=status)

    def in_stream(self, body) -> bytes:
        return sse(body, "error")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        if complaint := self._complaint(request, body):
            return complaint
        if body["model"] not in MODELS:
            return self.refusal(404, f"model: {body['model']}", "not_found_error")
        blocks, reason = self._blocks(body)
        usage = {
            "input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 17,
            "service_tier": "standard",
        }  # fmt: skip
        card = {"id": "msg_1", "type": "message", "role": "assistant", "model": f"{body['model']}-20251001"}
        if not body.get("stream"):
            whole = {"content": blocks, "stop_reason": reason, "stop_sequence": None, "usage": usage}
            return web.json_response(card | whole)
        error = sse(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"
        )
        return await self.send(
            request, "text/event-stream; charset=utf-8", events_of(card, blocks, reason, usage), error
        )

    def _complaint(self, request: web.Request, body: dict) -> web.Response | None:
        version = request.headers.get("anthropic-version")
        if version not in VERSIONS:
            return self.refusal(400, "anthropic-version: header is required")
        if "max_tokens" not in body:
            return self.refusal(400, "max_tokens: Field required")
        messages = body["messages"]
        if any(message["role"] not in ("user", "assistant") for message in messages):
            return self.refusal(400, "messages: Unexpected role. Use the top-level system parameter.")
        if body["model"] in NO_SAMPLING:
            for name in SAMPLING & set(body):
                return self.refusal(400, f"`{name}` is deprecated for this model.")
        if version == VERSIONS[-1] and (given := SAMPLING & set(body)):
            return self.refusal(400, f"{min(given)}: Extra inputs are not permitted")
        if "temperature" in body and "top_p" in body:
            return self.refusal(
                400, "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
            )
        wanted: set[str] = set()
        for index, message in enumerate(messages):
            blocks = message["content"] if isinstance(message["content"], list) else []
            if any(block["type"] == "text" and not block["text"] for block in blocks):
                return self.refusal(400, "messages: text content blocks must be non-empty")
            results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            if wanted - results:
                ids = ", ".join(sorted(wanted - results))
                return self.refusal(
                    400,
                    f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
                    f"after: {ids}",
                )
            wanted = {block["id"] for block in blocks if block["type"] == "tool_use"}
        return None

    def _blocks(self, body: dict) -> tuple[list[dict], str]:
        last = body["messages"][-1]
        is_result = isinstance(last["content"], list) and any(
            b["type"] == "tool_result" for b in last["content"]
        )
        if body.get("tools") and not is_result and body.get("tool_choice", {}).get("type") != "none":
            made = [
                {
                    "type": "tool_use",
                    "id": f"toolu_{i}",
                    "name": tool["name"],
                    "input": {"place": "Köln", "n": i},
                }
                for i, tool in enumerate(body["tools"])
            ]
            return [{"type": "text", "text": "Let me look."}, *made], "tool_use"
        thought = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}] if self.thinks else []
        return [*thought, {"type": "text", "text": self.answer}], "end_turn"

    async def _models(self, request: web.Request) -> web.Response:
        """Two a page, however many are asked for, so that the way to the next is taken."""
        after = request.query.get("after_id")
        known = [*MODELS, RETIRED]
        rest = known[known.index(after) + 1 :] if after else known
        rows = [
            {"type": "model", "id": name, "display_name": name.title(), "created_at": "2025-10-01T00:00:00Z",
             "max_input_tokens": 200000, "max_tokens": 64000, "lifecycle": "retired" if name == RETIRED else "active",
             "deprecated_at": None, "retires_at": None, "line": None, "capabilities": None}
            for name in rest[:2]
        ]  # fmt: skip
        page = {"data": rows, "has_more": len(rest) > 2, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
        return web.json_response(page)


def events_of(card: dict, blocks: list[dict], reason: str, usage: dict) -> list[bytes]:
    """As they were recorded: a message begins with one token of output, blocks follow each other, pings anywhere."""
    begun = card | {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage | {"output_tokens": 1},
    }
    found = [event({"type": "message_start", "message": begun}), event({"type": "ping"})]
    for index, block in enumerate(blocks):
        empty = {
            "text": {"text": ""},
            "tool_use": {"input": {}},
            "thinking": {"thinking": "", "signature": ""},
        }
        start = block | empty[block["type"]]
        found.append(event({"type": "content_block_start", "index": index, "content_block": start}))
        for delta in deltas_of(block):
            found.append(event({"type": "content_block_delta", "index": index, "delta": delta}))
        found.append(event({"type": "content_block_stop", "index": index}))
    ended = {"stop_reason": reason, "stop_sequence": None}
    found.append(
        event({"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}})
    )
    return [*found, event({"type": "message_stop"})]


def deltas_of(block: dict) -> list[dict]:
    match block["type"]:
        case "text":
            return [{"type": "text_delta", "text": piece} for piece in pieces_of(block["text"])]
        case "thinking":
            return [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
    text = json.dumps(block["input"])
    parts = ["", *(text[start : start + 5] for start in range(0, len(text), 5))]
    return [{"type": "input_json_delta", "partial_json": part} for part in parts]


def event(body: dict) -> bytes:
    return sse(body, body["type"])
