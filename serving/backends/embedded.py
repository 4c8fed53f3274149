"""Asks the process `python -m serving.embedded`, which somebody else starts and starts again."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from serving.backends.base import (
    AdapterRefused,
    AnswerBroke,
    BackendUnavailable,
    Delta,
    Refusing,
    Reply,
    Scored,
    Target,
    Wire,
)
from serving.embedded.parts import ABILITIES
from serving.protocol import ApiError, ChatRequest
from serving.shapes import Usage

# A process that stopped for being idle is back within seconds.
WAIT_SECONDS = 20.0
RETRY_SECONDS = 0.25
# Whoever has something else to go on with waits no longer than that, and not at all for a process that was killed.
HURRY_SECONDS = 3.0
# Between two bytes: a large base model takes its time to load.
SILENCE_SECONDS = 600
# An adapter may be pushed out by others between loading it and asking it; that often in a row it is no chance.
LOAD_ROUNDS = 3
# Looking whether somebody is there must not take longer than that.
HEALTH_SECONDS = 3.0
PASSED_HEADERS = {"retry-after", "x-request-id"}

# Also what a process says that is just dying: it takes the connection and cuts it.
CONNECTION_ERRORS = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, ConnectionError)


class EmbeddedBackend(Refusing):
    """`url` is `unix:///path.sock` or `http://127.0.0.1:port`. Holds no connection between calls.

    A process that starts, or starts anew after it was idle, is waited for. With `in_a_hurry` that is seconds.
    """

    abilities = ABILITIES

    def __init__(self, url: str, *, wait_seconds: float = WAIT_SECONDS, in_a_hurry: bool = False):
        self._url = url
        self._parts = urlsplit(url)
        self._in_a_hurry = in_a_hurry
        self._wait_seconds = min(wait_seconds, HURRY_SECONDS) if in_a_hurry else wait_seconds
        if self._parts.scheme not in ("unix", "http"):
            raise ValueError(
                f"The embedded backend's address is {url!r}; it must begin with unix:// or http://."
            )

    def wire(self) -> Wire:
        return Wire(self._url)

    def refusal(self, status: int, text: str) -> ApiError:
        return _refusal(status, text)

    async def models(self) -> list[str]:
        async with self._session() as session, await self._request(session, "GET", "/v1/models") as response:
            return [card["id"] for card in (await response.json())["data"]]

    async def is_healthy(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS), self._session() as session:
                response = await session.get(self._base + "/health")
                return response.status == 200
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return False

    async def metrics(self) -> str:
        async with self._session() as session, await self._request(session, "GET", "/metrics") as response:
            return await response.text()

    async def ensure_loaded(self, target: Target) -> None:
        async with self._session() as session:
            await self._load(session, target)

    async def stream_chat(self, target: Target, request: ChatRequest) -> AsyncIterator[Delta]:
        body = request.as_body(model=target.loaded_name, stream=True, stream_options={"include_usage": True})
        async with self._session() as session:
            response = await self._ask(session, target, body)
            try:
                async for delta in _read_deltas(response):
                    yield delta
            except (aiohttp.ClientError, ConnectionError) as error:
                raise AnswerBroke("The answering process went away in the middle of the answer.") from error
            finally:
                # An answer that nobody reads on must not be written on.
                response.close()

    # --- adapters, and what the parity gate asks -----------------------------------------------------------------

    async def load_adapter(self, name: str, path: Path) -> None:
        """On the one base in memory that it fits; `ensure_loaded` names the base, and loads that as well."""
        body = {"lora_name": name, "lora_path": str(path)}
        try:
            await self._said("/v1/load_lora_adapter", body)
        except ApiError as error:
            if error.status >= 500:
                raise
            raise AdapterRefused(error.message, status=error.status) from error

    async def unload_adapter(self, name: str) -> None:
        try:
            await self._said("/v1/unload_lora_adapter", {"lora_name": name})
        except ApiError as error:
            if error.code != "model_not_found":
                raise

    async def token_ids(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        body: dict[str, Any] = {"model": model, "messages": messages}
        said = json.loads(await self._said("/tokenize", body | ({"tools": tools} if tools else {})))
        return said["tokens"]

    async def logprobs(
        self, model: str, prompt_token_ids: list[int], answer_token_ids: list[int]
    ) -> list[Scored]:
        if not answer_token_ids:
            return []
        given = [*prompt_token_ids, *answer_token_ids]
        # Nothing is written, so that prompt and answer may fill the context.
        body = {"model": model, "prompt": given, "max_tokens": 0, "echo": True, "prompt_logprobs": 1}
        said = json.loads(await self._said("/v1/completions", body))
        entries = said["choices"][0]["prompt_logprobs"][len(prompt_token_ids) :]
        return [
            Scored(token, entry[str(token)]["logprob"], int(min(entry, key=lambda one: entry[one]["rank"])))
            for token, entry in zip(answer_token_ids, entries, strict=True)
        ]

    async def forward(self, path: str, body: dict[str, Any]) -> Reply:
        session = self._session()
        try:
            response = await self._request(session, "POST", path, body)
        except BaseException:
            await session.close()
            raise

        async def close() -> None:
            response.close()
            await session.close()

        return Reply(
            status=response.status,
            content_type=response.headers.get("content-type", "application/json"),
            headers={name: value for name, value in response.headers.items() if name in PASSED_HEADERS},
            chunks=_chunks(response),
            close=close,
        )

    async def _said(self, path: str, body: dict[str, Any]) -> str:
        async with self._session() as session, await self._request(session, "POST", path, body) as response:
            return await response.text()

    # --- one request ---------------------------------------------------------------------------------------------

    async def _ask(
        self, session: aiohttp.ClientSession, target: Target, body: dict[str, Any]
    ) -> aiohttp.ClientResponse:
        """Asks first and loads only what turns out to be missing, so that the usual question is one call."""
        for _ in range(LOAD_ROUNDS):
            try:
                return await self._request(session, "POST", "/v1/chat/completions", body)
            except ApiError as error:
                if error.code != "model_not_found":
                    raise
            await self._load(session, target)
        return await self._request(session, "POST", "/v1/chat/completions", body)

    async def _load(self, session: aiohttp.ClientSession, target: Target) -> None:
        base = {"name": target.base_name, "path": str(target.base_path)}
        (await self._request(session, "POST", "/v1/load_base_model", base)).release()
        if target.adapter:
            adapter = {
                "lora_name": target.adapter.name,
                "lora_path": str(target.adapter.path),
                "base_model": target.base_name,
                "load_inplace": True,
            }
            (await self._request(session, "POST", "/v1/load_lora_adapter", adapter)).release()

    async def _request(
        self, session: aiohttp.ClientSession, method: str, path: str, body: dict[str, Any] | None = None
    ) -> aiohttp.ClientResponse:
        """Waits for a process that is just starting; raises ApiError with the server's own words."""
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        while True:
            try:
                response = await session.request(method, self._base + path, json=body)
                break
            except CONNECTION_ERRORS as error:
                if asyncio.get_running_loop().time() >= deadline or (
                    self._in_a_hurry and self._is_dead(error)
                ):
                    raise BackendUnavailable(
                        "The answering process is not up yet. It starts within seconds; if it does not, "
                        "its log (serving.log) says why."
                    ) from error
                await asyncio.sleep(RETRY_SECONDS)
        if response.status == 200:
            return response
        raise _refusal(response.status, await response.text())

    def _is_dead(self, error: Exception) -> bool:
        """Whether it was killed: one that ends by itself takes its socket with it. Of a port this cannot be told."""
        return self._parts.scheme == "unix" and getattr(error, "errno", None) == errno.ECONNREFUSED

    @property
    def _base(self) -> str:
        return "http://embedded" if self._parts.scheme == "unix" else f"http://{self._parts.netloc}"

    def _session(self) -> aiohttp.ClientSession:
        unix = self._parts.scheme == "unix"
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self._parts.path) if unix else aiohttp.TCPConnector(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS),
        )


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        raise AnswerBroke("The answering process went away in the middle of the answer.") from error


async def _read_deltas(response: aiohttp.ClientResponse) -> AsyncIterator[Delta]:
    """Deltas from server-sent events; the last one carries reason and usage."""
    finish_reason = None
    async for line in response.content:
        data = line.removeprefix(b"data: ").strip()
        if not data or not line.startswith(b"data: "):
            continue
        if data == b"[DONE]":
            return
        chunk = json.loads(data)
        if "error" in chunk:
            raise _refusal(500, data.decode())
        for choice in chunk["choices"]:
            finish_reason = choice["finish_reason"] or finish_reason
            if text := choice["delta"].get("content"):
                yield Delta(text)
        if usage := chunk.get("usage"):
            counted = Usage(usage["prompt_tokens"], usage["completion_tokens"])
            yield Delta("", finish_reason or "stop", counted)
    raise AnswerBroke("The answering process went away in the middle of the answer.")


def _refusal(status: int, text: str) -> ApiError:
    try:
        error = json.loads(text)["error"]
        return ApiError(
            error["message"], status=status, kind=error["type"], param=error["param"], code=error["code"]
        )
    except (ValueError, KeyError, TypeError):
        message = f"The answering process said {status}: {text[:200]}"
        return ApiError(message, status=502, kind="server_error")
