"""What all providers over HTTP have in common: the server, tries, and what a model was found not to take."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, ClassVar, TypeVar

from providers.base import (
    Ability,
    Access,
    Answer,
    Call,
    Failure,
    ModelInfo,
    Patience,
    Piece,
    ProviderFailed,
    Ranking,
    Vectors,
)
from providers.failures import refused_parameter
from providers.http import Server
from providers.trying import trying, trying_stream

Found = TypeVar("Found")

# (address, model) → parameters that it refused once. For this process only: models change.
NOT_TAKEN: dict[tuple[str, str], set[str]] = {}
MOST_REMEMBERED = 1000
TEXTS_AT_ONCE = 64  # of one request for vectors


class HttpProvider:
    """A subclass writes down its facts, and what one question looks like on its wire."""

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    abilities: ClassVar[frozenset[Ability]] = frozenset()
    needs_key: ClassVar[bool] = True
    takes_address: ClassVar[bool] = False
    default_address: ClassVar[str] = ""
    key_page: ClassVar[str] = ""

    def __init__(self, access: Access, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.base_url = (access.base_url or self.default_address).rstrip("/")
        if not self.base_url:
            raise ValueError(f"{self.label} needs an address.")
        self.server = Server(self.label, access, self.patience, self.headers(access.key), self.name)

    def headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}

    # --- the promises ----------------------------------------------------------------------------------------

    async def chat(self, call: Call) -> Answer:
        return await self.trying(lambda: self.chat_once(call), call.model)

    async def stream(self, call: Call) -> AsyncIterator[Piece]:
        pieces = trying_stream(
            self.patience, lambda: self.stream_once(call), lambda problem: self.learn(problem, call.model)
        )
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    async def embed(self, model: str, texts: Sequence[str], *, is_question: bool = False) -> Vectors:
        vectors = Vectors(input_tokens=0)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = list(texts[start : start + TEXTS_AT_ONCE])
            found = await self.trying(lambda some=some: self.embed_once(model, some, is_question), model)  # type: ignore[misc]
            if len(found) != len(some):
                raise self.server.odd(f"{len(found)} vectors for {len(some)} texts")
            vectors.extend(found)
            # One part without a count leaves the whole without one.
            counts = (vectors.input_tokens, found.input_tokens)
            vectors.input_tokens = None if None in counts else sum(filter(None, counts))
        return vectors

    async def rerank(self, model: str, question: str, texts: Sequence[str]) -> Ranking:
        return await self.trying(lambda: self.rerank_once(model, question, list(texts)), model)

    async def models(self) -> list[ModelInfo]:
        found = await self.trying(self.models_once)
        return sorted(found, key=lambda model: model.id)

    async def check(self) -> str:
        found = await self.models()
        return f"{self.label} accepts the key; it offers {len(found)} models."

    # --- once, on the wire -------------------------------------------------------------------------------------

    async def chat_once(self, call: Call) -> Answer:
        raise NotImplementedError

    def stream_once(self, call: Call) -> AsyncGenerator[Piece, None]:
        raise NotImplementedError

    async def embed_once(self, model: str, texts: list[str], is_question: bool) -> Vectors:
        raise self.not_offered("vectors of texts (embeddings)")

    async def rerank_once(self, model: str, question: str, texts: list[str]) -> Ranking:
        raise self.not_offered("to put texts in order (rerank)")

    async def models_once(self) -> list[ModelInfo]:
        raise NotImplementedError

    # --- for subclasses ----------------------------------------------------------------------------------------

    async def trying(self, ask: Callable[[], Awaitable[Found]], model: str = "") -> Found:
        return await trying(self.patience, ask, lambda problem: self.learn(problem, model))

    def learn(self, problem: ProviderFailed, model: str) -> bool:
        """Whether the model refused a parameter that an answer can do without, and that is news."""
        if problem.kind != Failure.BAD_REQUEST:
            return False
        name = refused_parameter(problem.message, problem.param)
        if name is None or name in self.not_taken(model):
            return False
        while len(NOT_TAKEN) >= MOST_REMEMBERED:
            del NOT_TAKEN[next(iter(NOT_TAKEN))]
        NOT_TAKEN.setdefault((self.base_url, model), set()).add(name)
        return True

    def not_taken(self, model: str) -> set[str]:
        return NOT_TAKEN.get((self.base_url, model), set())

    def not_offered(self, what: str) -> ProviderFailed:
        return self.server.failed(
            f"{self.label} does not offer {what}.", Failure.BAD_REQUEST, code="not_offered"
        )

    def refuse(self, message: str, param: str) -> ProviderFailed:
        return self.server.failed(message, Failure.BAD_REQUEST, param=param)


def given(**values: Any) -> dict[str, Any]:
    """Those that are there: not None, not empty."""
    return {
        name: value for name, value in values.items() if value is not None and value != [] and value != ()
    }
