"""The HTTP side: a raw ASGI app with vLLM's and OpenAI's routes over one `Worker`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from serving.embedded.answers import ChatAnswers, TextAnswers, send_stream, send_whole
from serving.embedded.parts import ABILITIES, Part, parts_of, take_extras
from serving.embedded.wire import Receive, Send, directory_of, read_json, send_json, send_text, text_of
from serving.embedded.worker import Ticket, Worker
from serving.protocol import (
    ApiError,
    ChatRequest,
    CompletionRequest,
    model_not_found,
    parse_chat_request,
    parse_completion_request,
    values,
)
from serving.protocol.messages import read_messages, read_tools

log = logging.getLogger(__name__)

# Asked every few seconds by whoever looks after this process; the log is for questions.
LOOKED_AT = {"/health", "/metrics"}


class App:
    """The ASGI callable. It notes when a model was last needed, so that the process can stop when idle."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self._busy = 0
        self._last_used = time.monotonic()
        self._routes = {
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/load_base_model"): self._load_base_model,
            ("POST", "/v1/load_lora_adapter"): self._load_lora_adapter,
            ("POST", "/v1/unload_lora_adapter"): self._unload_lora_adapter,
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._complete,
        }

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request that needed a model; 0 while one is running."""
        return 0.0 if self._busy else time.monotonic() - self._last_used

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.monotonic()
        status = 200
        try:
            await self._route(scope)(receive, send)
        except ApiError as error:
            status = error.status
            await send_json(send, status, error.body())
        finally:
            if scope["path"] not in LOOKED_AT:
                took = time.monotonic() - started
                log.info("%s %s → %d in %.2f s", scope["method"], scope["path"], status, took)

    def _route(self, scope: dict) -> Callable[[Receive, Send], Awaitable[None]]:
        method, path = scope["method"], scope["path"]
        if (method, path) in self._routes:
            return self._routes[method, path]
        if path in {known for _, known in self._routes}:
            raise ApiError(f"Not allowed to {method} on {path}.", status=405, code="method_not_allowed")
        raise ApiError(f"Invalid URL ({method} {path})", status=404, code="unknown_url")

    @asynccontextmanager
    async def _in_use(self):
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._last_used = time.monotonic()

    async def _health(self, receive: Receive, send: Send) -> None:
        worker = self.worker
        facts = {"loaded": worker.is_heavy, "answers": worker.answers, "cancelled": worker.cancelled}
        await send_json(send, 200, {"status": "ok"} | facts)

    async def _metrics(self, receive: Receive, send: Send) -> None:
        """Prometheus's text, with vLLM's names for what it has as well."""
        worker, counts = self.worker, self.worker.counts
        figures = {
            "num_requests_running": ("gauge", worker.writing),
            "num_requests_waiting": ("gauge", worker.waiting),
            "generation_tokens_total": ("counter", counts.tokens),
            "time_to_first_token_seconds_sum": ("counter", counts.first_token_seconds),
            "time_to_first_token_seconds_count": ("counter", counts.first_tokens),
        }
        lines = [
            f"# TYPE vllm:{name} {kind}\nvllm:{name} {value}\n" for name, (kind, value) in figures.items()
        ]
        await send_text(send, "".join(lines))

    async def _models(self, receive: Receive, send: Send) -> None:
        now = int(time.time())
        cards = [
            {"object": "model", "created": now, "owned_by": "apex"} | card for card in self.worker.cards()
        ]
        await send_json(send, 200, {"object": "list", "data": cards})

    async def _load_base_model(self, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        name, path = text_of(body, "name"), directory_of(body, "path")
        async with self._in_use():
            await self.worker.load_base(name, path)
        await send_text(send, f"Success: base model '{name}' is loaded.")

    async def _load_lora_adapter(self, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        name, path = text_of(body, "lora_name"), directory_of(body, "lora_path")
        base = text_of(body, "base_model") if body.get("base_model") is not None else None
        async with self._in_use():
            if base is None and not self.worker.is_heavy:
                raise model_not_found(name)
            await self.worker.load_adapter(name, path, base, body.get("load_inplace") is True)
        await send_text(send, f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_lora_adapter(self, receive: Receive, send: Send) -> None:
        name = text_of(await read_json(receive), "lora_name")
        if not self.worker.is_heavy:
            raise model_not_found(name)
        await self.worker.unload_adapter(name)
        await send_text(send, f"Success: LoRA adapter '{name}' removed successfully.")

    async def _tokenize(self, receive: Receive, send: Send) -> None:
        """vLLM's: of `messages` by the template, or of a `prompt` as it stands."""
        body = values.as_object(await read_json(receive))
        name = values.model_name(body)
        if not self.worker.is_heavy:
            raise model_not_found(name)
        async with self._in_use():
            ids, context = await self.worker.count(name, _tokens_of(body))
        await send_json(
            send, 200, {"count": len(ids), "max_model_len": context, "tokens": ids, "token_strs": None}
        )

    async def _chat(self, receive: Receive, send: Send) -> None:
        body, common = take_extras(await read_json(receive))
        request = parse_chat_request(body, ABILITIES)
        if common.prompt_top is not None:
            raise ApiError("`prompt_logprobs` is given at /v1/completions.", param="prompt_logprobs")
        await self._answer(request, common, ChatAnswers(request), receive, send)

    async def _complete(self, receive: Receive, send: Send) -> None:
        body, common = take_extras(await read_json(receive))
        request = parse_completion_request(body, ABILITIES)
        await self._answer(request, common, TextAnswers(request), receive, send)

    async def _answer(
        self,
        request: ChatRequest | CompletionRequest,
        common: Part,
        answers: ChatAnswers | TextAnswers,
        receive: Receive,
        send: Send,
    ) -> None:
        # With nothing loaded the answer is known without importing torch.
        if not self.worker.is_heavy:
            raise model_not_found(request.model)
        async with self._in_use():
            ticket = self.worker.submit(request, parts_of(request, common))
            watch = asyncio.create_task(_cancel_when_gone(receive, ticket))
            try:
                write = send_stream if request.stream else send_whole
                answer = asyncio.create_task(write(ticket, answers, send, request.include_usage))
                await asyncio.wait({answer, watch}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    answer.cancel()
                    log.info("the client left before the end of an answer of %s", request.model)
                    return
                answer.result()
            finally:
                ticket.is_cancelled = True
                watch.cancel()


def _tokens_of(body: dict[str, Any]) -> Callable[[Any], list[int]]:
    """Reads what is to be tokenised; raises ApiError. What comes back runs beside the models."""
    from_messages = "messages" in body
    if not from_messages:
        text = values.text(values.required(body, "prompt"), "prompt")
    else:
        messages = read_messages(body["messages"], with_tools=True)
        tools = read_tools(body)
    is_open = values.flag({"add_generation_prompt": True} | body, "add_generation_prompt")
    with_special = values.flag({"add_special_tokens": True} | body, "add_special_tokens")

    def tokens(base) -> list[int]:
        from serving.embedded.generation import chat_ids, text_ids

        if from_messages:
            return chat_ids(base, messages, tools or None, is_open=is_open)
        return text_ids(base, text, with_special)

    return tokens


async def _cancel_when_gone(receive: Receive, ticket: Ticket) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    ticket.is_cancelled = True


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
