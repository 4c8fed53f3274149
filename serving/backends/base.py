"""What every backend promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from serving.protocol import PLAIN_CHAT, Ability, ApiError, ChatRequest
from serving.shapes import Usage


class BackendUnavailable(ApiError):
    """Nobody listens where the backend should be; asking again later may help."""

    def __init__(self, message: str):
        super().__init__(message, status=503, kind="server_error", code="backend_unavailable")


class AnswerBroke(ApiError):
    """The backend went away in the middle of an answer."""

    def __init__(self, message: str):
        super().__init__(message, status=502, kind="server_error", code="answer_broke_off")


class AdapterRefused(ApiError):
    """The adapter itself is at fault: asking again changes nothing. The message says what is wrong with it."""

    def __init__(self, message: str, *, status: int = 400, code: str = "adapter_refused"):
        super().__init__(message, status=status, param="adapter", code=code)


class NotSupported(ApiError):
    """This kind of backend cannot do it, whatever is asked."""

    def __init__(self, what: str, advice: str = ""):
        message = f"{what} is not supported by this kind of server. {advice}".strip()
        super().__init__(message, status=501, code="not_supported")


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A LoRA adapter under the name it is asked for, in a directory that never changes."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Place:
    """A server that has the target ready. `key` opens it, where it wants one; it is never shown."""

    node: str
    backend: str
    address: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """What shall answer: a base model, or an adapter on it, with its files on this machine.

    `model_id` is the name that the asker used; `lineage` tells where it comes from (kind → id). `places` are the
    servers that have it ready, any of which may answer; without any the embedded process does. `deployment` is the
    serving name of the deployment that was found, if one was.
    """

    model_id: str
    base_name: str
    base_path: Path
    adapter: AdapterFiles | None = None
    lineage: dict[str, str] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    deployment: str = ""

    @property
    def loaded_name(self) -> str:
        return self.adapter.name if self.adapter else self.base_name


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; the last one says why it ended and how many tokens it took."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One given token: the natural logarithm of its probability there, and which token was the likeliest."""

    token_id: int
    logprob: float
    best_token_id: int


@dataclass(slots=True)
class Reply:
    """A server's answer as it came. `chunks` are its bytes in order, as they arrive.

    `close` ends the answer on the server too, if it is not through yet; call it whatever happens, twice is
    harmless.
    """

    status: int
    content_type: str
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]

    async def read(self) -> bytes:
        """All of it; the answer is closed afterwards."""
        try:
            return b"".join([chunk async for chunk in self.chunks])
        finally:
            await self.close()


@dataclass(frozen=True, slots=True)
class Wire:
    """Where OpenAI's protocol is spoken, so that a body can be passed on in its own bytes.

    `url` is `http(s)://host:port` or `unix:///path.sock`; `/v1/chat/completions` and the like come behind it.
    `headers` are sent with every call, such as `authorization`. `node` names the server among several.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    node: str = ""


class Backend(Protocol):
    """Every method raises `ApiError`: `BackendUnavailable` when nobody is there, else the backend's own words.

    `abilities` is what it can do of what OpenAI's parameters ask for; the gateway refuses the rest by name.
    """

    abilities: frozenset[Ability]

    def wire(self) -> Wire | None:
        """Where the gateway may go by itself; None where every call must take the way through `forward`.

        Asked anew for each question: of several servers it is the one whose turn it is.
        """
        ...

    def under_way(self, wire: Wire | None) -> AbstractContextManager[None]:
        """To be held while an answer comes over `wire`, so that it counts as under way."""
        ...

    def note_away(self, wire: Wire | None) -> None:
        """Nobody was there at `wire`: others are asked first for a while."""
        ...

    def refusal(self, status: int, text: str) -> ApiError:
        """What the server's answer `text` with an error's `status` says, in OpenAI's words."""
        ...

    async def models(self) -> list[str]:
        """Names that can be asked now: bases and adapters."""
        ...

    async def is_healthy(self) -> bool:
        """Whether it answers; never raises."""
        ...

    async def metrics(self) -> str:
        """How busy it is, as a Prometheus page with vLLM's names; empty where it does not say."""
        ...

    async def ensure_loaded(self, target: Target) -> None:
        """The target's base and adapter are in memory after this; costs little when they were."""
        ...

    def stream_chat(self, target: Target, request: ChatRequest) -> AsyncIterator[Delta]:
        """The answer as it is written, loading what is missing first. Closing the iterator ends the answer."""
        ...

    async def chat(self, target: Target, request: ChatRequest) -> Delta:
        """The whole answer at once."""
        ...

    async def load_adapter(self, name: str, path: Path) -> None:
        """`name` can be asked after this. No error where it is loaded already; raises AdapterRefused."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """`name` cannot be asked after this. No error where it is not loaded."""
        ...

    async def token_ids(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        """What the server's own template and tokenizer make of `messages`, ready for an answer to begin."""
        ...

    async def logprobs(
        self, model: str, prompt_token_ids: list[int], answer_token_ids: list[int]
    ) -> list[Scored]:
        """How likely each token of the answer is to `model` behind the prompt; one pass, nothing is written."""
        ...

    async def forward(self, path: str, body: dict[str, Any]) -> Reply:
        """Passes an OpenAI body on to `path` (`/v1/chat/completions`) and its good answer back as it comes.

        `body["model"]` is the name that the server knows (`Target.loaded_name`, a deployment's serving name); the
        same name stands in the answer. A server's refusal is raised as ApiError: `model_not_found` where it does not
        know the name (any more). Raises BackendUnavailable only while no byte of an answer has come.
        """
        ...


class Refusing:
    """For kinds of backend that cannot do everything: what is not written anew is refused in plain words.

    A whole answer is the streamed one put together.
    """

    abilities: frozenset[Ability] = PLAIN_CHAT

    def wire(self) -> Wire | None:
        return None

    def under_way(self, wire: Wire | None) -> AbstractContextManager[None]:
        return nullcontext()

    def note_away(self, wire: Wire | None) -> None:
        """With one server only there is no other to ask first."""

    def refusal(self, status: int, text: str) -> ApiError:
        return ApiError(f"The server said {status}: {text[:200]}", status=502, kind="server_error")

    async def models(self) -> list[str]:
        raise NotSupported("Listing models")

    async def is_healthy(self) -> bool:
        try:
            await self.models()
        except ApiError:
            return False
        return True

    async def metrics(self) -> str:
        """How busy it is, as a Prometheus page with vLLM's names; empty where it does not say."""
        return ""

    def stream_chat(self, target: Target, request: ChatRequest) -> AsyncIterator[Delta]:
        raise NotSupported("Asking in a conversation")

    async def chat(self, target: Target, request: ChatRequest) -> Delta:
        text = ""
        async for delta in self.stream_chat(target, request):
            text += delta.text
            if delta.finish_reason:
                return Delta(text, delta.finish_reason, delta.usage)
        raise AnswerBroke("The answer ended without saying why.")

    async def load_adapter(self, name: str, path: Path) -> None:
        raise NotSupported("Loading an adapter")

    async def unload_adapter(self, name: str) -> None:
        raise NotSupported("Unloading an adapter")

    async def token_ids(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        raise NotSupported("Telling the token ids of a prompt")

    async def logprobs(
        self, model: str, prompt_token_ids: list[int], answer_token_ids: list[int]
    ) -> list[Scored]:
        raise NotSupported("Telling how likely given tokens are")

    async def forward(self, path: str, body: dict[str, Any]) -> Reply:
        raise NotSupported(f"{path}")
