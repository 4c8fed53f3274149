"""The way to a provider: one shared client for each event loop, limits of time and size, errors in our words.

docs/decisions/0125 says why this client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from apex.common.connections import connections
from apex.common.fetch import FetchFailed, FetchRefused, find_allowed_addresses
from providers.base import Access, Failure, Patience, ProviderFailed
from providers.failures import failure_of, read_words, scrub, told_to_wait
from providers.sse import Event, Events, Lines, TooLong

# A new connection costs two round trips and a handshake, so an idle one is kept through a pause in a conversation.
KEEP_OPEN_SECONDS = 30
LONGEST_ANSWER = 64 * 1024 * 1024
LONGEST_REFUSAL = 64 * 1024
AGENT = "apex-studio"
# A kept connection may have been closed at the other end just now.
GONE = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)


class Headers(dict[str, str]):
    """Headers with a key among them: they do not show in errors' frames."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


class Server:
    """A provider's server, as one key reaches it. `headers` go with every request to it, and nowhere else."""

    def __init__(self, label: str, access: Access, patience: Patience, headers: dict[str, str], name: str):
        self.label, self.name, self.patience = label, name, patience
        self._access, self._headers = access, Headers({"User-Agent": AGENT, **headers})

    # --- asking ----------------------------------------------------------------------------------------------

    async def json(
        self, method: str, url: str, body: dict[str, Any] | None = None, more: dict[str, str] | None = None
    ) -> Any:
        """The JSON of a good answer; `more` are headers of this request alone."""
        deadline = asyncio.get_running_loop().time() + self.patience.total
        response = await self._open(method, url, body, more, deadline, self.patience.total)
        text = await self._read(response, LONGEST_ANSWER, deadline)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.odd(text) from error

    async def events(
        self, url: str, body: dict[str, Any], more: dict[str, str] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Server-sent events as they come. Closing the iterator hangs up."""
        events = Events()
        async with aclosing(self._blocks(url, body, more)) as blocks:
            async for block in blocks:
                for event in events.feed(block) if block else events.end():
                    yield event

    async def lines(self, url: str, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """Lines that are not empty, as they come. Closing the iterator hangs up."""
        lines = Lines()
        async with aclosing(self._blocks(url, body, None)) as blocks:
            async for block in blocks:
                for line in lines.feed(block) if block else lines.end():
                    if line.strip():
                        yield line

    async def _blocks(
        self, url: str, body: dict[str, Any], more: dict[str, str] | None
    ) -> AsyncGenerator[bytes, None]:
        """What comes, as it comes, and an empty block at the end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience.total
        response = await self._open("POST", url, body, more, deadline, self.patience.first_byte)
        size = 0
        try:
            while True:
                until = min(deadline, loop.time() + self.patience.silence)
                async with asyncio.timeout_at(until):
                    block = await response.content.readany()
                size += len(block)
                if size > LONGEST_ANSWER:
                    raise self.too_long()
                yield block
                if not block:
                    return
        except TooLong as error:
            raise self.too_long() from error
        except TimeoutError as error:
            raise self.network(f"stopped sending for {self.patience.silence:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self.network("went away in the middle of the answer") from error
        finally:
            let_go(response)

    async def _open(
        self,
        method: str,
        url: str,
        body: dict[str, Any] | None,
        more: dict[str, str] | None,
        deadline: float,
        first_byte: float,
    ) -> aiohttp.ClientResponse:
        """The beginning of a good answer; raises what another kind of answer says."""
        session = await self._session(url)
        data = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        # The key would be read in the frames of the client's own errors, so these end here (`from None`).
        until = min(deadline, asyncio.get_running_loop().time() + first_byte)
        for is_last in (False, True):
            try:
                async with asyncio.timeout_at(until):
                    response = await session.request(
                        method, url, data=data, headers=Headers(self._headers | kind | (more or {})),
                        allow_redirects=False,  # it could lead where nobody looked, and would take the key along
                        timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.patience.connect),
                    )  # fmt: skip
                break
            except aiohttp.ClientConnectorCertificateError:
                raise self.network("shows a certificate that is not trusted here", may_retry=False) from None
            except aiohttp.ClientConnectorError:
                raise self.network("cannot be reached") from None
            except GONE:
                if is_last:
                    raise self.network("hung up without an answer") from None
            except TimeoutError:
                raise self.network(f"did not answer within {first_byte:g} s") from None
            except (aiohttp.ClientError, ValueError):
                raise self.network("does not speak HTTP properly") from None
        if (
            200 <= response.status < 300
            and response.headers.get("Content-Encoding", "identity") == "identity"
        ):
            return response
        text = await self._read(response, LONGEST_REFUSAL, deadline, is_cut=True)
        raise self.refusal(response.status, text, {k.lower(): v for k, v in response.headers.items()})

    async def _session(self, url: str) -> aiohttp.ClientSession:
        try:
            guard = find_allowed_addresses if self._access.is_guarded else None
            return await (await connections(KEEP_OPEN_SECONDS)).to(url, urlsplit(url), guard)
        except FetchRefused as problem:
            raise self.failed(str(problem), Failure.BAD_REQUEST, code="address_refused") from problem
        except FetchFailed as problem:
            raise self.failed(str(problem), Failure.NETWORK) from problem

    async def _read(
        self, response: aiohttp.ClientResponse, most: int, deadline: float, *, is_cut: bool = False
    ) -> str:
        content = bytearray()
        try:
            async with asyncio.timeout_at(deadline):
                while block := await response.content.readany():
                    content += block
                    if len(content) > most:
                        if is_cut:
                            break
                        raise self.too_long()
        except TimeoutError as error:
            raise self.network(f"was not done within {self.patience.total:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self.network("went away in the middle of the answer") from error
        finally:
            let_go(response)
        return content[:most].decode(errors="replace")

    # --- what went wrong ---------------------------------------------------------------------------------------

    def refusal(self, status: int, text: str, headers: dict[str, str] | None = None) -> ProviderFailed:
        """What an answer with an error's status says."""
        headers = headers or {}
        if 300 <= status < 400:
            words = "passes us on to another address, which is not followed. Is its address right?"
            return self.failed(f"{self.label} {words}", Failure.BAD_REQUEST, code="provider_redirects")
        if status < 300:
            return self.odd("a packed answer, which was not asked for")
        said = read_words(text)
        failure = failure_of(status, said)
        code = "model_not_found" if status in (404, 410) else None
        words = f"{self.label} {MEANING[failure]} ({status}): {said.message or 'no words'}"
        return self.failed(
            words, failure, code=code, param=said.param, retry_after=told_to_wait(headers),
            may_retry=headers.get("x-should-retry") != "false",
        )  # fmt: skip

    def failed(self, message: str, failure: Failure, **more: Any) -> ProviderFailed:
        """All words pass here: a key that the provider echoes goes no further."""
        key = self._access.key
        if more.get("param"):
            more["param"] = scrub(more["param"], key)
        return ProviderFailed(scrub(message, key), kind=failure, provider=self.name, **more)

    def network(self, what: str, *, may_retry: bool = True) -> ProviderFailed:
        return self.failed(f"{self.label} {what}.", Failure.NETWORK, may_retry=may_retry)

    def broke_off(self) -> ProviderFailed:
        return self.network("ended the answer without saying that it was done")

    def odd(self, got: Any) -> ProviderFailed:
        words = f"{self.label} answered with something else than was expected: {str(got)[:200]}"
        return self.failed(words, Failure.OVERLOAD, code="odd_answer", may_retry=False)

    def too_long(self) -> ProviderFailed:
        words = f"{self.label} sent more than {LONGEST_ANSWER} bytes, or a line without an end."
        return self.failed(words, Failure.OVERLOAD, code="odd_answer", may_retry=False)


MEANING: dict[Failure, str] = {
    Failure.AUTH: "does not accept the key, or the key may not do this",
    Failure.QUOTA: "says that the credit is used up",
    Failure.RATE: "asks us to go slower",
    Failure.OVERLOAD: "has trouble",
    Failure.CONTEXT: "says that the question is too long for this model",
    Failure.CONTENT: "does not answer this by its rules",
    Failure.NETWORK: "cannot be reached",
    Failure.BAD_REQUEST: "does not take this request",
}


def let_go(response: aiohttp.ClientResponse) -> None:
    """The connection serves again after a whole answer; otherwise it is closed, and the server stops."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()
