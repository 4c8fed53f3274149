"""Anthropic's Messages. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, ClassVar

from providers.backends.anthropic_messages import choice_of, system_of, tools_of, turns_of
from providers.backends.common import HttpProvider, given
from providers.backends.openai_protocol import ODD, tool_call
from providers.base import Ability, Answer, Call, ModelInfo, Piece, Usage

# The newest version knows no temperature and no top_p; where a question has one of them, the one before is spoken.
VERSION = "2026-10-21"
WITH_SAMPLING = "2023-06-01"
MOST_TOKENS = 4096  # needed by the protocol; the most that every model there writes
MODELS_AT_ONCE = 1000
FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length",
    "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}  # fmt: skip


class Anthropic(HttpProvider):
    name: ClassVar[str] = "anthropic"
    label: ClassVar[str] = "Anthropic"
    takes_address: ClassVar[bool] = True
    default_address: ClassVar[str] = "https://api.anthropic.com"
    key_page: ClassVar[str] = "https://console.anthropic.com/settings/keys"
    abilities: ClassVar[frozenset[Ability]] = frozenset(
        {Ability.CHAT, Ability.TOOLS, Ability.MODELS, Ability.RESPONSE_FORMAT}
    )

    def headers(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    def body(self, call: Call, is_stream: bool) -> dict[str, Any]:
        body = {
            "model": call.model,
            "max_tokens": call.max_tokens or MOST_TOKENS,
            "messages": turns_of(call.messages, self.refuse),
        } | given(
            system=system_of(call.messages) or None,
            temperature=None if call.temperature is None else min(call.temperature, 1.0),  # theirs ends at 1
            top_p=call.top_p,
            stop_sequences=[text for text in call.stop if text.strip()],  # blanks alone are refused
            tools=tools_of(call.tools),
            tool_choice=choice_of(call.tool_choice, self.refuse) if call.tools else None,
            output_config=self.output_config(call.response_format),
        )
        if is_stream:
            body["stream"] = True
        without = self.not_taken(call.model)
        return {name: value for name, value in body.items() if name not in without}

    def output_config(self, response_format: dict[str, Any] | None) -> dict[str, Any] | None:
        kind = (response_format or {}).get("type", "text")
        if response_format is None or kind == "text":
            return None
        if kind != "json_schema":
            raise self.refuse("Anthropic needs a JSON schema for answers in JSON.", "response_format")
        schema = response_format.get("json_schema", {}).get("schema") or {}
        return {"format": {"type": "json_schema", "schema": schema}}

    async def chat_once(self, call: Call) -> Answer:
        asked = self.body(call, False)
        body = await self.server.json("POST", f"{self.base_url}/v1/messages", asked, version_for(asked))
        try:
            blocks = body["content"]
            text = "".join(block["text"] for block in blocks if block["type"] == "text")
            made = tuple(
                tool_call(block["id"], block["name"], json.dumps(block["input"]))
                for block in blocks
                if block["type"] == "tool_use"
            )
            finish = FINISHES.get(body["stop_reason"], "stop")
            thought = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
            model = str(body.get("model") or call.model)
            return Answer(text, made, finish, usage_of(body["usage"]), model, thought)
        except ODD as error:
            raise self.server.odd(body) from error

    async def stream_once(self, call: Call) -> AsyncGenerator[Piece, None]:
        finish: str | None = None
        counts: dict[str, Any] = {}
        usage: Usage | None = None
        calls: dict[int, tuple[str, str, list[str]]] = {}  # index of a block → id, name, pieces of arguments
        is_whole = False
        asked = self.body(call, True)
        url = f"{self.base_url}/v1/messages"
        async with aclosing(self.server.events(url, asked, version_for(asked))) as events:
            try:
                async for event in events:
                    said = json.loads(event.data)
                    match said["type"]:
                        case "message_start":
                            counts |= said["message"]["usage"]
                        case "content_block_start" if said["content_block"]["type"] == "tool_use":
                            block = said["content_block"]
                            calls[said["index"]] = (block["id"], block["name"], [])
                        case "content_block_start" if text := said["content_block"].get("text"):
                            yield Piece(text)
                        case "content_block_delta":
                            delta = said["delta"]
                            if delta["type"] == "text_delta" and delta["text"]:
                                yield Piece(delta["text"])
                            elif delta["type"] == "thinking_delta" and delta["thinking"]:
                                yield Piece(thought=delta["thinking"])
                            elif delta["type"] == "input_json_delta":
                                calls[said["index"]][2].append(delta["partial_json"])
                        case "message_delta":
                            finish = said["delta"].get("stop_reason") or finish
                            # Of numbers that come twice these are the later ones.
                            counts |= {k: v for k, v in (said.get("usage") or {}).items() if v is not None}
                        case "message_stop":
                            is_whole, usage = True, usage_of(counts)
                            break
                        case "error":
                            raise self.server.refusal(STATUSES.get(said["error"]["type"], 500), event.data)
                        # `ping`, ends of blocks, signatures, and what will be invented later say nothing to us.
            except ODD as error:
                raise self.server.odd(event.data) from error
        if not is_whole or finish is None:
            raise self.server.broke_off()
        made = tuple(
            tool_call(call_id, name, "".join(parts))
            for _index, (call_id, name, parts) in sorted(calls.items())
        )
        yield Piece("", made, FINISHES.get(finish, "stop"), usage)

    async def models_once(self) -> list[ModelInfo]:
        found: list[ModelInfo] = []
        after = ""
        while True:
            url = f"{self.base_url}/v1/models?limit={MODELS_AT_ONCE}{after}"
            body = await self.server.json("GET", url, None, version_for({}))
            try:
                found += [
                    ModelInfo(
                        row["id"], row.get("display_name") or "", row.get("max_input_tokens"), has_tools=True
                    )
                    for row in body["data"]
                    if row.get("lifecycle") != "retired"  # listed as history, refused when asked
                ]
                if not body.get("has_more") or not body["data"]:
                    return found
                after = f"&after_id={body['last_id']}"
            except ODD as error:
                raise self.server.odd(body) from error


# Of errors in mid-stream, whose HTTP status had been 200.
STATUSES = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
    "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


def version_for(asked: dict[str, Any]) -> dict[str, str]:
    has_sampling = "temperature" in asked or "top_p" in asked
    return {"anthropic-version": WITH_SAMPLING if has_sampling else VERSION}


def usage_of(usage: dict[str, Any]) -> Usage:
    """Their `input_tokens` are only those that were neither read from the cache nor written to it."""
    cached = int(usage.get("cache_read_input_tokens") or 0)
    written = int(usage.get("cache_creation_input_tokens") or 0)
    fresh = int(usage.get("input_tokens") or 0)
    return Usage(fresh + written + cached, int(usage.get("output_tokens") or 0), cached)
