"""An Ollama server, by its own protocol. https://github.com/ollama/ollama/blob/main/docs/api.md"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, ClassVar

from providers.backends.anthropic_messages import DATA_URL
from providers.backends.common import HttpProvider, given
from providers.backends.openai_protocol import ODD, text_of, tool_call
from providers.base import Ability, Answer, Call, ModelInfo, Piece, Usage, Vectors


class Ollama(HttpProvider):
    name: ClassVar[str] = "ollama"
    label: ClassVar[str] = "Ollama"
    needs_key: ClassVar[bool] = False
    takes_address: ClassVar[bool] = True
    default_address: ClassVar[str] = "http://127.0.0.1:11434"
    abilities: ClassVar[frozenset[Ability]] = frozenset(Ability) - {Ability.RERANK}

    def body(self, call: Call, is_stream: bool) -> dict[str, Any]:
        tools = call.tools
        if tools and call.tool_choice not in (None, "auto"):
            if call.tool_choice != "none":
                raise self.refuse(
                    "Ollama cannot be made to call a tool; leave tool_choice out.", "tool_choice"
                )
            tools = None
        options = given(
            num_predict=call.max_tokens, temperature=call.temperature, top_p=call.top_p, seed=call.seed,
            stop=list(call.stop),
        )  # fmt: skip
        body = {
            "model": call.model,
            "messages": messages_of(call.messages, self.refuse),
            "stream": is_stream,
            # Else the beginning of a question that is too long is left out in silence.
            "truncate": False,
            "shift": False,
        }
        return body | given(tools=tools, options=options or None, format=self.format_of(call.response_format))

    def format_of(self, response_format: dict[str, Any] | None) -> str | dict[str, Any] | None:
        kind = (response_format or {}).get("type", "text")
        if response_format is None or kind == "text":
            return None
        if kind == "json_schema":
            return response_format.get("json_schema", {}).get("schema") or "json"
        return "json"

    async def chat_once(self, call: Call) -> Answer:
        body = await self.server.json("POST", f"{self.base_url}/api/chat", self.body(call, False))
        try:
            message = body["message"]
            made = calls_of(message, 0)
            finish = finish_of(body.get("done_reason"), bool(made))
            return Answer(
                message.get("content") or "",
                made,
                finish,
                usage_of(body),
                str(body.get("model") or call.model),
                message.get("thinking") or "",
            )
        except ODD as error:
            raise self.server.odd(body) from error

    async def stream_once(self, call: Call) -> AsyncGenerator[Piece, None]:
        made: tuple[dict[str, Any], ...] = ()
        url = f"{self.base_url}/api/chat"
        async with aclosing(self.server.lines(url, self.body(call, True))) as lines:
            try:
                async for line in lines:
                    said = json.loads(line)
                    if "error" in said:  # the status had been a good one
                        raise self.server.refusal(
                            said.get("status_code") or 500, line.decode(errors="replace")
                        )
                    message = said.get("message") or {}
                    made += calls_of(message, len(made))
                    if thought := message.get("thinking"):
                        yield Piece(thought=thought)
                    if text := message.get("content"):
                        yield Piece(text)
                    if said.get("done"):
                        yield Piece("", made, finish_of(said.get("done_reason"), bool(made)), usage_of(said))
                        return
            except ODD as error:
                raise self.server.odd(line.decode(errors="replace")) from error
        raise self.server.broke_off()

    async def embed_once(self, model: str, texts: list[str], is_question: bool) -> Vectors:
        asked = {"model": model, "input": texts, "truncate": False}
        body = await self.server.json("POST", f"{self.base_url}/api/embed", asked)
        try:
            vectors = ([float(value) for value in vector] for vector in body["embeddings"])
            return Vectors(vectors, body.get("prompt_eval_count"))
        except ODD as error:
            raise self.server.odd(body) from error

    async def models_once(self) -> list[ModelInfo]:
        body = await self.server.json("GET", f"{self.base_url}/api/tags")
        try:
            return [ModelInfo(row["name"], is_embedding=is_embedding(row)) for row in body["models"] or []]
        except ODD as error:
            raise self.server.odd(body) from error

    async def check(self) -> str:
        found = await self.models()
        if not found:
            return "Ollama answers, but has no model yet; run `ollama pull` there."
        return f"Ollama answers; it has {len(found)} models."


def messages_of(messages: list[dict[str, Any]], refuse) -> list[dict[str, Any]]:
    """Arguments as objects, pictures apart, and results of tools with the tool's name."""
    names: dict[str, str] = {}
    found = []
    for message in messages:
        content = message.get("content")
        one: dict[str, Any] = {"role": message["role"], "content": text_of(content)}
        if message["role"] == "developer":
            one["role"] = "system"
        if pictures := pictures_of(content, refuse):
            one["images"] = pictures
        if calls := message.get("tool_calls"):
            names |= {made["id"]: made["function"]["name"] for made in calls}
            one["tool_calls"] = [{"id": made["id"], "function": arguments_of(made, refuse)} for made in calls]
        if message["role"] == "tool":
            call_id = message.get("tool_call_id", "")
            one |= {"tool_call_id": call_id, "tool_name": names.get(call_id, "")}
        found.append(one)
    return found


def arguments_of(made: dict[str, Any], refuse) -> dict[str, Any]:
    function = made["function"]
    try:
        return {"name": function["name"], "arguments": json.loads(function.get("arguments") or "{}")}
    except ValueError as error:
        raise refuse(f"The arguments of {function['name']} are not JSON.", "messages") from error


def pictures_of(content: Any, refuse) -> list[str]:
    pictures = []
    for part in content if isinstance(content, list) else []:
        if part.get("type") == "image_url":
            found = DATA_URL.fullmatch(part["image_url"]["url"])
            if not found:
                raise refuse("Ollama takes pictures as data: addresses only.", "messages")
            pictures.append(found[2])
    return pictures


def calls_of(message: dict[str, Any], before: int) -> tuple[dict[str, Any], ...]:
    """Whole calls; older servers give them no ids."""
    return tuple(
        tool_call(
            made.get("id") or "",
            made["function"]["name"],
            json.dumps(made["function"].get("arguments") or {}),
            index,
        )
        for index, made in enumerate(message.get("tool_calls") or [], start=before)
    )


def finish_of(reason: str | None, has_calls: bool) -> str:
    if has_calls:
        return "tool_calls"
    return reason if reason in ("stop", "length") else "stop"


def usage_of(said: dict[str, Any]) -> Usage:
    """The count of the question is left out where all of it was known from before."""
    return Usage(int(said.get("prompt_eval_count") or 0), int(said.get("eval_count") or 0))


def is_embedding(row: dict[str, Any]) -> bool | None:
    families = (row.get("details") or {}).get("families") or []
    if any("bert" in family for family in families) or re.search(r"embed|bge-|all-minilm", row["name"]):
        return True
    return None
