"""What a pipeline asks of the rest of the house: our own models, knowledge bases, providers, prices."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from apex.common.async_database import as_a_request, in_database
from apex.common.refusals import ApiError
from knowledge.models import KnowledgeBase
from knowledge.retrieval import Passage, Passages, RetrievalFailed, most_of, quoted, search
from ledger import budgets
from ledger.lines import Line
from ledger.models import Outcome
from ledger.money import Amount, TokenPrice, dollars_of
from ledger.prices import own_price
from minions.flow import Found, LocalPiece
from minions.prompts import tokens_of
from minions.recipes import Link, Recipe
from minions.tracing import Beside, Stage
from providers.base import Patience, Price, Provider
from providers.prices import price_of
from providers.services import provider_for
from serving.backends.base import BackendUnavailable, Target
from serving.protocol import ChatRequest
from serving.services import resolve_model, stream_answer


def prices_of(recipe: Recipe, owner) -> dict[str, Price]:
    """By `Link.name`; a model whose price nobody knows is left out."""
    found = {link.name: price_of(link.provider, link.model) for link in recipe.chain}
    return {name: price for name, price in found.items() if price is not None}


class HouseMeans:
    """For one answer: whatever is opened is opened as the minion's owner."""

    def __init__(self, owner, recipe: Recipe, prices: dict[str, Price]):
        self.owner, self.recipe, self.prices = owner, recipe, prices
        self.whose = str(owner.pk)
        self.own_price: TokenPrice | None = own_price(recipe.adapter_base) if recipe.adapter_base else None
        self._is_away: BackendUnavailable | None = None

    async def local(
        self,
        model: str,
        messages: list[dict[str, Any]],
        *,
        max_tokens: int,
        temperature: float,
        stop: tuple[str, ...] = (),
    ) -> AsyncGenerator[LocalPiece, None]:
        target = await as_a_request(_resolve, self.owner, model)
        request = ChatRequest(
            model=target.model_id,
            messages=messages,
            max_tokens=max_tokens,
            temperature=temperature,
            stop=list(stop),
        )
        if self._is_away and not target.places:  # the base is asked in place of its adapter: waited for once
            raise self._is_away
        try:
            async with aclosing(stream_answer(target=target, request=request, in_a_hurry=True)) as deltas:
                async for delta in deltas:
                    yield LocalPiece(delta.text, delta.finish_reason, delta.usage)
        except BackendUnavailable as problem:
            self._is_away = problem
            raise

    async def look_up(self, question: str, stage: Stage) -> Found:
        """The best passages that fit the recipe's tokens. Raises ApiError."""
        taken = Taken(stage)
        try:
            found = await in_database(self._search, question, taken)
        finally:
            taken.close()
        kept = fitting(found, self.recipe.knowledge_tokens)
        passages = [told(each, number) for number, each in enumerate(kept, start=1)]
        return Found(quoted(kept), passages, [each.told() for each in found.reranked])

    async def open_provider(self, link: Link) -> Provider:
        return await in_database(_open, self.owner, link)

    def note_local(self, stage: Stage) -> None:
        price = self.own_price
        if price is not None:
            nanos = price.nanos(stage.input_tokens, stage.output_tokens)
            stage.cost, stage.price_source = dollars_of(nanos), price.source

    def most_of_look_up(self, question: str) -> Amount:
        return most_of(self._bases(), question) if self.recipe.has_knowledge else Amount()

    def _bases(self):
        return KnowledgeBase.objects.for_user(self.owner).filter(pk__in=self.recipe.knowledge_bases)

    def _search(self, question: str, taken: Taken) -> Passages:
        try:
            return search(self._bases(), question, most=self.recipe.passages, book=taken.book)
        except RetrievalFailed as problem:
            raise ApiError(
                str(problem), status=502, kind="server_error", code="retrieval_failed"
            ) from problem


class Taken:
    """What a look-up takes, on its way into the stage, which is booked with its answer. After `close`, where nobody
    waits for the look-up any more, it is booked as it comes."""

    def __init__(self, stage: Stage):
        self._stage: Stage | None = stage
        self._lock = threading.Lock()

    def book(self, line: Line) -> None:
        with self._lock:
            if self._stage is not None:
                self._stage.beside.append(_beside(line))
                return
        budgets.settle(None, [line])

    def close(self) -> None:
        with self._lock:
            self._stage = None


def _beside(line: Line) -> Beside:
    price = line.price if isinstance(line.price, TokenPrice) else None
    return Beside(
        line.provider, line.model, line.input_tokens or 0, is_estimated=line.is_estimated,
        cost=dollars_of(line.nanos) if price else None, price_source=price.source if price else "", price=price,
        outcome=Outcome.OK,
    )  # fmt: skip


async def _resolve(owner, model: str) -> Target:
    return await resolve_model(user=owner, model_id=model)


def _open(owner, link: Link) -> Provider:
    """Tries are the chain's own, so that each of them stands in the trace."""
    return provider_for(owner, link.provider, link.key, patience=Patience(tries=1, connect=3))


def fitting(passages: Sequence[Passage], most_tokens: int) -> list[Passage]:
    """The first of them that fit together; one that alone is too long is left out."""
    kept, left = [], most_tokens
    for passage in passages:
        tokens = tokens_of(passage.text)
        if tokens <= left:
            kept.append(passage)
            left -= tokens
    return kept


def told(passage: Passage, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "chunk": str(passage.chunk_id),
        "document": str(passage.document_id),
        "base": str(passage.knowledge_base_id),
        "name": passage.document_name,
        "place": passage.place,
        "text": passage.text,
        "score": round(float(passage.score), 4),
    }
