"""What every provider promises, and the words in which it is asked and answers.

Messages, tools, `tool_choice` and `response_format` have OpenAI's shapes everywhere above; each provider turns them
into its own. No Django in here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from apex.common.refusals import ApiError

MILLION = Decimal(1_000_000)
MOST_TOKENS = 2**53  # of one answer


class Ability(StrEnum):
    CHAT = "chat"
    TOOLS = "tools"
    EMBEDDINGS = "embeddings"
    MODELS = "models"
    RESPONSE_FORMAT = "response_format"
    SEED = "seed"
    RERANK = "rerank"


class Failure(StrEnum):
    """Why a provider did not answer, by what can be done about it."""

    AUTH = "auth"  # the key is missing, wrong, or may not do this: another key
    QUOTA = "quota"  # no money or credit is left there: pay, or another provider
    RATE = "rate"  # too fast: wait
    OVERLOAD = "overload"  # they have trouble: wait, or another provider
    CONTEXT = "context"  # the question is too long for this model
    CONTENT = "content"  # their rules forbid this question
    NETWORK = "network"  # nobody there, too slow, or went away in the middle
    BAD_REQUEST = "bad_request"  # the question itself, or the model's name, is wrong


# What an asker of ours is told of each: HTTP status, and OpenAI's `type` and `code`. A key that a provider refuses
# is no fault of the token with which we were asked.
TOLD: dict[Failure, tuple[int, str, str]] = {
    Failure.AUTH: (502, "server_error", "provider_key_refused"),
    Failure.QUOTA: (429, "insufficient_quota", "insufficient_quota"),
    Failure.RATE: (429, "rate_limit_error", "rate_limit_exceeded"),
    Failure.OVERLOAD: (503, "server_error", "provider_overloaded"),
    Failure.CONTEXT: (400, "invalid_request_error", "context_length_exceeded"),
    Failure.CONTENT: (400, "invalid_request_error", "content_filter"),
    Failure.NETWORK: (502, "server_error", "provider_unreachable"),
    Failure.BAD_REQUEST: (400, "invalid_request_error", "provider_refused"),
}
WORTH_ANOTHER_TRY = frozenset({Failure.RATE, Failure.OVERLOAD, Failure.NETWORK})


class ProviderFailed(ApiError):
    """A provider did not answer, or not to the end.

    `kind` is the `Failure` (OpenAI's type of it stands in `body()`), `retry_after` the seconds that the provider asks
    us to wait, `has_begun` whether pieces of the answer had been handed out. The message names the provider and holds
    no key, whatever the provider wrote.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Failure | str,
        provider: str = "",
        retry_after: float | None = None,
        code: str | None = None,
        param: str | None = None,
        may_retry: bool = True,
    ):
        failure = Failure(kind)
        status, self.type, usual_code = TOLD[failure]
        super().__init__(message, status=status, kind=failure, param=param, code=code or usual_code)
        self.provider, self.retry_after, self.has_begun = provider, retry_after, False
        self.may_retry = may_retry and failure in WORTH_ANOTHER_TRY

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Call:
    """One question. What is None or empty is left to the provider."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    response_format: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `input_tokens` are all of the question, `cached_tokens` those of them that the provider knew already."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        """Whoever runs a server could give back what a budget counted, by a count below nothing."""
        told = (self.input_tokens, self.output_tokens, self.cached_tokens)
        if not all(0 <= count <= MOST_TOKENS for count in told):
            raise ValueError(f"An answer cannot have taken {told} tokens.")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer. `tool_calls` are whole ones, in OpenAI's shape (arguments as JSON text).

    `thought` is what a thinking model says to itself before it answers; it is no part of the answer.
    The last piece alone has a `finish_reason` (`stop`, `length`, `tool_calls`, `content_filter`) and, where the
    provider tells it, the usage.
    """

    text: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    thought: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `model` is what the provider says has answered; usage is None where it tells none. `thought` is
    what a thinking model said to itself before it."""

    text: str
    tool_calls: tuple[dict[str, Any], ...]
    finish_reason: str
    usage: Usage | None
    model: str
    thought: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, and who says so. None for cached: as the other input.

    `above` holds dearer prices for long questions: (tokens of input, from which on the whole question costs) these.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    source: str = ""
    above: tuple[tuple[int, Price], ...] = ()

    def cost(self, usage: Usage) -> Decimal:
        """Dollars for one answer."""
        price = self.at(usage.input_tokens)
        cached = price.input if price.cached is None else price.cached
        fresh = usage.input_tokens - usage.cached_tokens
        money = fresh * price.input + usage.cached_tokens * cached + usage.output_tokens * price.output
        return money / MILLION

    def at(self, input_tokens: int) -> Price:
        """The one that a question of this length costs."""
        return next((dearer for tokens, dearer in reversed(self.above) if input_tokens > tokens), self)


class Vectors(list[list[float]]):
    """One vector for each text; `input_tokens` that the provider counted, None where it tells none."""

    def __init__(self, vectors: Iterable[list[float]] = (), input_tokens: int | None = None) -> None:
        super().__init__(vectors)
        self.input_tokens = input_tokens


class Ranking(list[tuple[int, float]]):
    """The place of each text in what was asked, with how well it answers, best first; the scores of one model mean
    nothing beside another's. `input_tokens` that the provider counted, None where it tells none."""

    def __init__(self, ranked: Iterable[tuple[int, float]] = (), input_tokens: int | None = None) -> None:
        super().__init__(ranked)
        self.input_tokens = input_tokens


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be asked by `id`. None: the provider does not say."""

    id: str
    name: str = ""
    context_tokens: int | None = None
    has_tools: bool | None = None
    is_embedding: bool | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds, and how often tried (`tries` counts the first one).

    `silence` is between two pieces of a stream; `total` covers everything, tries included. A provider that asks for
    a longer pause than `longest_wait` is not waited for.
    """

    tries: int = 3
    first_wait: float = 0.5
    longest_wait: float = 20
    connect: float = 5
    first_byte: float = 120
    silence: float = 60
    total: float = 600


@dataclass(frozen=True, slots=True)
class Access:
    """What opens a provider: the key, and the address where it is not the provider's own.

    `is_guarded` means that a user gave the address: it may lead to public places only, and those that the house
    allows. `key` never shows. `user` is who asks, for a provider that has models of its own for each.
    """

    key: str = field(default="", repr=False)
    base_url: str = ""
    is_guarded: bool = False
    user: Any = field(default=None, repr=False)


@runtime_checkable
class Provider(Protocol):
    """Every method raises `ProviderFailed` and nothing else of the provider's doing.

    A class is made with `(access, patience)`, opens nothing until it is asked, and may be used by many at once.
    """

    name: str
    label: str
    abilities: frozenset[Ability]
    needs_key: bool
    takes_address: bool
    default_address: str
    key_page: str  # where a person gets a key

    def __init__(self, access: Access, patience: Patience = ...) -> None: ...

    async def chat(self, call: Call) -> Answer:
        """The whole answer."""
        ...

    def stream(self, call: Call) -> AsyncIterator[Piece]:
        """The answer as it is written. Closing the iterator closes the connection, which ends the answer there.

        Tries again only while no piece has been handed out.
        """
        ...

    async def embed(self, model: str, texts: Sequence[str], *, is_question: bool = False) -> Vectors:
        """One vector for each text, in order. `is_question`: the texts look for others (some models tell the two)."""
        ...

    async def models(self) -> list[ModelInfo]:
        """What can be asked with this key, by id."""
        ...

    async def check(self) -> str:
        """Whether address and key are good, in a sentence; costs nothing, or next to it."""
        ...


@runtime_checkable
class Reranks(Protocol):
    """What a provider promises besides that has the ability `rerank`."""

    async def rerank(self, model: str, question: str, texts: Sequence[str]) -> Ranking:
        """All texts in the order in which they answer the question."""
        ...
