"""A server that speaks vLLM's protocol for adapters: same paths, codes, texts, and the same bugs. For tests without it.

    with running_fake(base_dir) as server:
        VllmBackend(server.url)

What it answers means nothing, but is always the same: it depends on the adapter's weights and on the prompt alone. An
adapter with a `parity.json` answers its prompts as that says. The contract suite holds it to the real server.
"""

import asyncio
import itertools
import json
import re
import secrets
import time
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from tests.serving.fake_engine import FakeEngine, Model, NotFound
from tests.serving.threaded import running_app

# As vLLM does it, so that no message tells the server's folders.
PATHS = re.compile(r"/(?:home|usr|opt|var|tmp|root|lib|mnt|srv)(?:/[\w.\-]+)+")
MORE_PATHS = re.compile(r"(?:/[\w\-]+)+/[\w\-]+\.\w+")


DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class Refused(Exception):
    def __init__(self, message: str, kind: str, code: int, param: str | None = None):
        super().__init__(message)
        message = MORE_PATHS.sub("<path>", PATHS.sub("<path>", message)).strip()
        self.code = code
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class FakeVllm:
    """`aborted` counts answers whose readers left; `seconds_a_token` makes them last."""

    def __init__(
        self,
        base: Path,
        *,
        served_name: str = "demo",
        may_update: bool = True,
        api_key: str = "",
        seconds_a_token: float = 0.0,
        context: int = 0,
        **engine,
    ):
        self.engine = FakeEngine(base, **engine)
        self.served_name, self.may_update, self.api_key = served_name, may_update, api_key
        self.seconds_a_token = seconds_a_token
        self.adapters: dict[str, tuple[int, str]] = {}  # name → its number and path
        self.numbers = itertools.count(1)
        self.running: dict[int, int | None] = {}  # request → its adapter
        self.aborted = 0
        self.is_dead = False  # the engine's process has ended; the one that speaks HTTP has not yet
        self.calls: list[tuple[str, str]] = []
        self.context = context or self.engine.config["max_position_embeddings"]
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._middleware], client_max_size=64 * 1024 * 1024)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        if self.may_update:
            app.router.add_post("/v1/load_lora_adapter", self._load)
            app.router.add_post("/v1/unload_lora_adapter", self._unload)
        return app

    @web.middleware
    async def _middleware(self, request: web.Request, handler):
        self.calls.append((request.method, request.path))
        is_known = request.headers.get("Authorization") == f"Bearer {self.api_key}"
        if self.api_key and request.path.startswith("/v1") and not is_known:
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.code)
        except web.HTTPException as error:
            body = Refused(error.reason, error.reason, error.status).body
            return web.json_response(body, status=error.status)

    # --- adapters --------------------------------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=503 if self.is_dead else 200)

    async def _models(self, request: web.Request) -> web.Response:
        common = {"object": "model", "created": int(time.time()), "owned_by": "vllm"}
        cards = [
            common
            | {
                "id": self.served_name,
                "root": str(self.engine.base_path),
                "parent": None,
                "max_model_len": self.context,
            }
        ]
        for name, (_number, path) in self.adapters.items():
            cards.append(
                common | {"id": name, "root": path, "parent": self.served_name, "max_model_len": None}
            )
        return web.json_response({"object": "list", "data": cards})

    async def _load(self, request: web.Request) -> web.Response:
        body = await self._body(request, lora_name=str, lora_path=str)
        name, path, inplace = body["lora_name"], body["lora_path"], bool(body.get("load_inplace"))
        if not name or not path:
            raise Refused("Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput", 400)
        if name == self.served_name:
            raise Refused(
                f"The lora adapter '{name}' conflicts with a served base model.", "InvalidUserInput", 400
            )
        if name in self.adapters and not inplace:
            raise Refused(
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                f"'load_inplace' to True.",
                "InvalidUserInput",
                400,
            )
        number = self.adapters[name][0] if name in self.adapters else next(self.numbers)
        try:
            self.engine.add(number, name, path, inplace=inplace)
        except NotFound as error:
            raise Refused(str(error), "NotFoundError", 404) from error
        except Exception as error:  # whatever it was, the handler says 500
            message = (
                f"Call to add_lora method failed: Worker failed with error '{error}', please check the stack trace "
                f"above for the root cause"
            )
            raise Refused(message, "InternalServerError", 500) from error
        self.adapters[name] = (number, path)
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await self._body(request, lora_name=str))["lora_name"]
        if not name:
            raise Refused(
                "'lora_name' needs to be provided to unload a LoRA adapter.", "InvalidUserInput", 400
            )
        if name not in self.adapters:
            raise Refused(f"The lora adapter '{name}' cannot be found.", "NotFoundError", 404)
        del self.adapters[name]  # and nothing else: its weights keep their slot
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    # --- answers ---------------------------------------------------------------------------------------------

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        self._number(body)
        if "messages" in body:
            tokens = self._prompt(body)
        else:
            tokens = self.engine.renderer.render_plain(body["prompt"]).token_ids
        return web.json_response(
            {"count": len(tokens), "max_model_len": self.context, "tokens": tokens, "token_strs": None}
        )

    async def _completions(self, request: web.Request) -> web.Response | web.StreamResponse:
        body = await self._body(request)
        number = self._number(body)
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = self.engine.renderer.render_plain(prompt).token_ids
        scores = None
        if body.get("prompt_logprobs") is not None:
            model = self._model(number)
            if model.is_broken:
                raise Refused("Out of range float values are not JSON compliant", "BadRequestError", 400)
            scores = [None, *(_entry(model, prompt[:at], prompt[at]) for at in range(1, len(prompt)))]
        return await self._answer(request, body, number, prompt, body.get("max_tokens", 16), scores)

    async def _chat(self, request: web.Request) -> web.Response | web.StreamResponse:
        body = await self._body(request, messages=list)
        number = self._number(body)
        prompt = self._prompt(body)
        most = body.get("max_completion_tokens") or body.get("max_tokens") or self.context - len(prompt)
        return await self._answer(request, body, number, prompt, most, None)

    async def _answer(self, request, body, number, prompt, most, scores):
        if most > self.context:
            raise Refused(
                f"max_tokens={most} cannot be greater than max_model_len={self.context}. Please request fewer output "
                f"tokens. (parameter=max_tokens, value={most})",
                "BadRequestError",
                400,
                "max_tokens",
            )
        if len(prompt) + most > self.context or not prompt:
            raise Refused(
                f"This model's maximum context length is {self.context} tokens. However, you requested {most} output "
                f"tokens and your prompt contains {len(prompt)} input tokens, for a total of {len(prompt) + most} "
                f"tokens. Please reduce the length of the input prompt or the number of requested output tokens.",
                "BadRequestError",
                400,
                "input_tokens",
            )
        is_chat = "messages" in body
        shape = _Shape(body.get("model") or self.served_name, is_chat)
        chosen: list[tuple[int, float]] = []
        pieces = self._pieces(number, prompt, most, chosen)
        if not body.get("stream"):
            text, reason, count = "", "stop", 0
            async for text, reason, count in pieces:  # noqa: B007 - the last one counts
                pass
            told = self._told(chosen) if body.get("logprobs") else None
            return web.json_response(shape.whole(text, reason, len(prompt), count, scores, told))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        told, count = "", 0
        try:
            if is_chat:
                await _event(response, shape.chunk({"role": "assistant", "content": ""}, None))
            async for text, reason, count in pieces:  # noqa: B007 - the last one counts
                await _event(response, shape.chunk({"content": text[len(told) :]}, reason))
                told = text
            if (body.get("stream_options") or {}).get("include_usage"):
                await _event(response, shape.usage_chunk(len(prompt), count))
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.aborted += 1
            raise
        return response

    def _told(self, chosen: list[tuple[int, float]]) -> dict:
        """`logprobs` of a completion."""
        texts = [self.engine.renderer.decode([token], skip_special_tokens=False) for token, _ in chosen]
        values = [value for _, value in chosen]
        likeliest = [{text: value} for text, value in zip(texts, values, strict=True)]
        return {"tokens": texts, "token_logprobs": values, "top_logprobs": likeliest}

    async def _pieces(self, number: int | None, prompt: list[int], most: int, chosen: list):
        """(text so far, why it ended, tokens so far) after each token, which is added to `chosen`."""
        key = id(object()) ^ secrets.randbits(60)
        self.running[key] = number
        try:
            written: list[int] = []
            while True:
                await asyncio.sleep(self.seconds_a_token)
                token, logprob = self._model(number).next([*prompt, *written])
                chosen.append((token, logprob))
                is_end = token == self.engine.base.stop
                if not is_end:
                    written.append(token)
                reason = "stop" if is_end else "length" if len(written) >= most else None
                yield self.engine.renderer.decode(written), reason, len(written) + is_end
                if reason:
                    return
        finally:
            del self.running[key]

    # --- parts -----------------------------------------------------------------------------------------------

    async def _body(self, request: web.Request, **wanted: type) -> dict:
        if request.content_type != "application/json":
            raise Refused("Unsupported Media Type: Only 'application/json' is allowed", "Bad Request", 400)
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            raise Refused(f"1 validation error: {error}", "Bad Request", 400) from error
        for name, kind in wanted.items():
            if not isinstance(body, dict) or not isinstance(body.get(name), kind):
                raise Refused(f"1 validation error:\n  {name}", "Bad Request", 400, f"body.{name}")
        return body

    def _number(self, body: dict) -> int | None:
        """The adapter that is asked; one that was pushed out is read from its path again."""
        if self.is_dead:
            raise Refused(DEAD, "InternalServerError", 500)
        name = body.get("model") or self.served_name
        if name == self.served_name:
            return None
        if name not in self.adapters:
            raise Refused(
                f"The model `{name}` does not exist. Valid aliases: {self.served_name}.",
                "NotFoundError",
                404,
                "model",
            )
        number, path = self.adapters[name]
        try:
            self.engine.add(number, name, path)
        except Exception as error:  # in the middle of a step there is nobody to tell
            self.is_dead = True
            raise Refused(DEAD, "InternalServerError", 500) from error
        return number

    def _prompt(self, body: dict) -> list[int]:
        return self.engine.renderer.render_prompt(body["messages"], tools=body.get("tools")).token_ids

    def _model(self, number: int | None) -> Model:
        if number is not None and number not in self.engine.cached:  # pushed out while it answers
            name, path = next((n, p) for n, (one, p) in self.adapters.items() if one == number)
            self.engine.add(number, name, path)
        return self.engine.model_for(number, beside={one for one in self.running.values() if one is not None})


class _Shape:
    """OpenAI's objects as vLLM writes them."""

    def __init__(self, model: str, is_chat: bool):
        self.is_chat = is_chat
        kind = "chat.completion" if is_chat else "text_completion"
        self.common = {"id": f"{'chatcmpl' if is_chat else 'cmpl'}-{secrets.token_hex(16)}", "object": kind}
        self.common |= {"created": int(time.time()), "model": model}

    def whole(self, text: str, reason: str, prompt: int, count: int, scores, told=None) -> dict:
        choice: dict = {"index": 0, "logprobs": told, "finish_reason": reason, "stop_reason": None}
        if self.is_chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None, "tool_calls": []}
        else:
            choice |= {"text": text, "prompt_logprobs": scores}
        return self.common | {"choices": [choice], "usage": _usage(prompt, count)}

    def chunk(self, delta: dict, reason: str | None) -> dict:
        choice: dict = {"index": 0, "logprobs": None, "finish_reason": reason}
        if self.is_chat:
            choice["delta"] = delta
            return self.common | {"object": "chat.completion.chunk", "choices": [choice]}
        return self.common | {"choices": [choice | {"text": delta["content"]}]}

    def usage_chunk(self, prompt: int, count: int) -> dict:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return self.common | {"object": kind, "choices": [], "usage": _usage(prompt, count)}


def _usage(prompt: int, count: int) -> dict:
    return {"prompt_tokens": prompt, "total_tokens": prompt + count, "completion_tokens": count}


def _entry(model: Model, before: list[int], token: int) -> dict:
    best, logprob = model.next(before)
    entry = {str(token): {"logprob": model.logprob(before, token), "rank": 2, "decoded_token": "?"}}
    return entry | {str(best): {"logprob": logprob, "rank": 1, "decoded_token": "!"}}


async def _event(response: web.StreamResponse, body: dict) -> None:
    await response.write(f"data: {json.dumps(body)}\n\n".encode())


@contextmanager
def running_fake(base: Path, *, port: int = 0, **options):
    """The fake, listening until the end; `options` are those of FakeVllm and FakeEngine."""
    fake = FakeVllm(base, **options)
    with running_app(fake.app(), port=port) as fake.url:
        yield fake
