"""What all servers with OpenAI's surface have in common: asking, streaming, passing on, telling what went wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from apex.common.connections import Guard, connections
from serving.backends.base import AnswerBroke, BackendUnavailable, Delta, Refusing, Reply, Target, Wire
from serving.protocol import ApiError, ChatRequest, model_not_found
from serving.shapes import Usage

# Looking whether somebody is there must not take longer than that.
HEALTH_SECONDS = 3.0
# What is taken of an answer that is an error, or no stream.
LONGEST_ANSWER = 64 * 1024 * 1024
PASSED_HEADERS = {"retry-after", "x-request-id"}
# A kept connection may have been closed at the other end just now; the second try opens a new one.
GONE = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)


class OpenAIServer(Refusing):
    """A server at `url` (`http://host:port`, with or without `/v1`), asked with `api_key` where it wants one.

    With a `guard` each request goes only to addresses that the guard has named for it.
    """

    def __init__(self, url: str, *, api_key: str = "", guard: Guard | None = None):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"A server's address begins with http:// or https://, got {url!r}.")
        self.url = url.rstrip("/").removesuffix("/v1")
        self._parts = urlsplit(self.url)
        self._guard = guard
        self._api_key = api_key
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    @property
    def host(self) -> str:
        """Where it is, as it may be shown: host and port."""
        return self._parts.netloc.rpartition("@")[2]

    def wire(self) -> Wire | None:
        """Not with a guard: it has to look at every call."""
        return (
            None
            if self._guard
            else Wire(self.address("/v1").removesuffix("/v1"), tuple(self._headers.items()))
        )

    async def models(self) -> list[str]:
        return [card["id"] for card in await self.cards()]

    async def cards(self) -> list[dict[str, Any]]:
        """`/v1/models` as it stands there."""
        body = await self.ask("GET", "/v1/models")
        try:
            return [card for card in body["data"] if isinstance(card["id"], str)]
        except (KeyError, TypeError) as error:
            raise self.odd("/v1/models", body) from error

    async def is_healthy(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self.models()
        except (ApiError, TimeoutError):
            return False
        return True

    async def ensure_loaded(self, target: Target) -> None:
        if target.loaded_name not in await self.models():
            raise model_not_found(target.loaded_name)

    async def stream_chat(self, target: Target, request: ChatRequest) -> AsyncIterator[Delta]:
        body = self.chat_body(target, request)
        response = await self.open_for(target, "/v1/chat/completions", body)
        try:
            async for delta in _read_deltas(response, self):
                yield delta
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise AnswerBroke(f"{self.host} went away in the middle of the answer.") from error
        except ValueError as error:  # aiohttp's word for a line without an end
            raise self.odd("a streamed request", "a line that is too long") from error
        finally:
            # An answer that nobody reads on must not be written on.
            response.close()

    def chat_body(self, target: Target, request: ChatRequest) -> dict[str, Any]:
        return request.as_body(model=target.loaded_name, stream=True, stream_options={"include_usage": True})

    async def forward(self, path: str, body: dict[str, Any]) -> Reply:
        response = await self.good(await self.open("POST", path, body))

        async def close() -> None:
            response.close()

        return Reply(
            status=response.status,
            content_type=response.headers.get("content-type", "application/json"),
            headers={
                name.lower(): value
                for name, value in response.headers.items()
                if name.lower() in PASSED_HEADERS
            },
            chunks=_chunks(response, self),
            close=close,
        )

    def address(self, path: str) -> str:
        """Where `path` (`/v1/models`) is on this server."""
        return self.url + path

    # --- one request ---------------------------------------------------------------------------------------

    async def open_for(self, target: Target, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """A good answer about `target` to be read; raises ApiError otherwise."""
        return await self.good(await self.open("POST", path, body))

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of a good answer; raises ApiError otherwise."""
        text = await self.read(await self.good(await self.open(method, path, body)))
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.odd(path, text) from error

    async def open(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        content: AsyncIterator[bytes] | None = None,
    ) -> aiohttp.ClientResponse:
        """The beginning of an answer, whatever its status. Raises BackendUnavailable where nobody answers.

        `body` goes as JSON, `content` as it is.
        """
        session = await (await connections()).to(self.url, self._parts, self._guard)
        data = content if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        # What comes in pieces cannot be sent twice.
        for is_last in [True] if content is not None else [False, True]:
            try:
                # A redirect could lead where the guard did not look, and would take the key along.
                return await session.request(
                    method, self.address(path), data=data, headers=headers, allow_redirects=False
                )
            except aiohttp.ClientConnectorError as error:
                raise self.away() from error
            except GONE as error:
                if is_last:
                    raise self.away() from error
            except (aiohttp.ClientError, TimeoutError) as error:
                raise self.away() from error
        raise AssertionError("not reached")

    async def good(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        """`response` itself if it is one of success; else raises what it says."""
        if 200 <= response.status < 300:
            return response
        text = await self.read(response)
        raise self.refusal(response.status, text)

    async def read(self, response: aiohttp.ClientResponse) -> str:
        """All of it, as text; the connection is free again afterwards."""
        content = bytearray()
        try:
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > LONGEST_ANSWER:
                    response.close()
                    raise AnswerBroke(f"{self.host} sent more than {LONGEST_ANSWER} bytes.")
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise AnswerBroke(f"{self.host} went away in the middle of the answer.") from error
        finally:
            response.release()
        return content.decode(errors="replace")

    # --- what went wrong -----------------------------------------------------------------------------------

    def away(self) -> BackendUnavailable:
        return BackendUnavailable(
            f"Nobody answers at {self.host}. Is the server running, and the address right?"
        )

    def odd(self, path: str, got: Any) -> ApiError:
        return ApiError(
            f"{self.host} answered {path} with something else than was expected: {str(got)[:200]}",
            status=502, kind="server_error", code="odd_answer",
        )  # fmt: skip

    def refusal(self, status: int, text: str) -> ApiError:
        """What the server said, in OpenAI's words; each kind of server knows more about its own."""
        if self._api_key:  # some servers repeat it, and whoever asks has no business with it
            text = text.replace(self._api_key, "[key]")
        said = read_error(text)
        if status in (401, 403):
            return ApiError(
                f"{self.host} does not accept the key that is stored for it ({status}): {said.message}",
                status=502, kind="server_error", code="backend_key_refused",
            )  # fmt: skip
        if 300 <= status < 400:
            return self.odd("the request", f"status {status}, to another address")
        if status >= 500:
            return ApiError(
                f"{self.host} said {status}: {said.message}", status=502, kind="server_error", code=said.code
            )
        kind = "invalid_request_error" if status != 429 else "rate_limit_error"
        return ApiError(said.message, status=status, kind=kind, param=said.param, code=said.code)


class Said:
    """An error as a server put it."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None):
        self.message, self.param, self.code = message, param, code


def read_error(text: str) -> Said:
    """OpenAI's envelope, or whatever stands in its place (FastAPI's `detail`, Ollama's bare `error`, plain text)."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return Said(text[:500].strip() or "nothing more")
    error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return Said(str(error)[:500])
    message, param, code = error.get("message"), error.get("param"), error.get("code")
    return Said(
        message if isinstance(message, str) else str(error)[:500],
        param if isinstance(param, str) else None,
        code if isinstance(code, str) else None,
    )


async def _chunks(response: aiohttp.ClientResponse, server: OpenAIServer) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        raise AnswerBroke(f"{server.host} went away in the middle of the answer.") from error


async def _read_deltas(response: aiohttp.ClientResponse, server: OpenAIServer) -> AsyncIterator[Delta]:
    """Deltas from server-sent events; the last one carries reason and usage.

    A server that tells no usage gets its last delta when the stream ends.
    """
    finish_reason = None
    is_told = False
    async for line in response.content:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            break
        try:
            chunk = json.loads(data)
            if "error" in chunk:
                raise server.refusal(500, data.decode(errors="replace"))
            for choice in chunk.get("choices", []):
                finish_reason = choice.get("finish_reason") or finish_reason
                if text := (choice.get("delta") or {}).get("content"):
                    yield Delta(text)
            if (usage := chunk.get("usage")) and finish_reason and not is_told:
                is_told = True
                yield Delta("", finish_reason, Usage(usage["prompt_tokens"], usage["completion_tokens"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise server.odd("a streamed request", data.decode(errors="replace")) from error
    if is_told:
        return
    if finish_reason is None:
        raise AnswerBroke(f"{server.host} went away in the middle of the answer.")
    yield Delta("", finish_reason)
