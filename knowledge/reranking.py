"""The best candidates once more, by a model of a provider's that reads question and piece together.

Texts leave this machine, and its owner's key pays, or one lent to them. What it took is in the ledger. A search does
not fail with it: the order stays as it was, and why stands in `Reranked.problem`.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

from asgiref.sync import async_to_sync
from django.utils.translation import gettext as _

from apex.common.acting import acting
from knowledge.embeddings.base import Booking
from knowledge.models import KnowledgeBase
from ledger import budgets
from ledger.lines import Line
from ledger.models import Kind
from ledger.money import Amount, dollars_of
from ledger.refusals import BudgetSpent
from providers.base import Patience, ProviderFailed, Ranking

CANDIDATES = 32  # pieces that are put in order: as many as every server takes in one call
BYTES_A_TOKEN = 4  # where a provider tells no count
# Somebody waits for it, and can go on without it.
PATIENCE = Patience(tries=1, connect=3, first_byte=10, silence=10, total=10)


@dataclass(frozen=True)
class Reranked:
    """What one call was, for the trace and the page. `problem`: why the order stayed as it was; then nothing was
    taken. `cost` in US dollars, None where nobody knows the price."""

    provider: str
    model: str
    pieces: int
    milliseconds: float
    tokens: int = 0
    is_estimated: bool = False
    cost: Decimal | None = None
    price_source: str = ""
    problem: str = ""

    def told(self) -> dict:
        """As JSON."""
        return asdict(self) | {
            "cost": None if self.cost is None else str(self.cost),
            "milliseconds": round(self.milliseconds, 1),
        }


def reranker_of(base: KnowledgeBase) -> tuple:
    """What tells one reranker from another: bases with the same can be put in order together."""
    return base.owner_id, base.rerank_provider, base.rerank_model


def rerank(
    base: KnowledgeBase, question: str, texts: Sequence[str], book: Booking | None = None
) -> tuple[list[int], Reranked]:
    """The places of the texts, best first, by the reranker of the base; as they came where it fails.

    What it takes is held and booked here, or with `book` by whoever gave it.
    """
    # Loaded when it is needed: most bases have no use for clients of providers.
    from providers.services import provider_for

    begun = time.monotonic()
    provider, model = base.rerank_provider, base.rerank_model
    size = sum(len(text.encode()) + len(question.encode()) for text in texts)
    line = line_of(base, size // BYTES_A_TOKEN + len(texts))
    held, problem = None, ""
    try:
        client = provider_for(base.owner, provider, patience=PATIENCE)
        if book is None:
            held = budgets.reserve(base.owner, line.amount, token=line.token_id, what=f"Reranking by {model}")
        try:
            ranking: Ranking = async_to_sync(client.rerank)(model, question, list(texts))
        except BaseException:
            budgets.release(held)
            raise
    except (ProviderFailed, BudgetSpent) as error:
        problem = error.message
    took = (time.monotonic() - begun) * 1000
    if problem:
        return list(range(len(texts))), Reranked(provider, model, len(texts), took, problem=problem)
    if ranking.input_tokens is not None:
        line.input_tokens, line.is_estimated = ranking.input_tokens, False
    line.latency_ms = took
    book(line) if book else budgets.settle(held, [line])
    cost = dollars_of(line.nanos) if line.price else None
    return [place for place, _score in ranking], Reranked(
        provider, model, len(texts), took, line.input_tokens or 0, line.is_estimated, cost,
        line.price.source if line.price else "",
    )  # fmt: skip


def most_of_rerank(base: KnowledgeBase, question: str) -> Amount:
    """What one call could take: as many pieces as go, as long as pieces are."""
    index = base.active_index
    size = (index.chunk_size if index else 0) + len(question.encode())
    return line_of(base, CANDIDATES * (size // BYTES_A_TOKEN + 1)).amount


def line_of(base: KnowledgeBase, tokens: int) -> Line:
    from providers.prices import ledger_price_of

    price = ledger_price_of(base.rerank_provider, base.rerank_model)
    return Line(
        base.owner_id, Kind.PROVIDER_TOKENS, "knowledge rerank", provider=base.rerank_provider,
        model=base.rerank_model, price=price, input_tokens=tokens, is_estimated=True, token_id=acting().token_id,
    )  # fmt: skip


def able_providers() -> list[tuple[str, str]]:
    """Name and label of those that can do it."""
    from providers.registry import all_providers

    return [(name, each.label) for name, each in all_providers().items() if "rerank" in each.abilities]


def fault_of(provider: str, model: str) -> tuple[str, str] | None:
    """Why this cannot be a base's reranker: the field, and a sentence. Both empty: none, which can be."""
    if not provider:
        return None
    able = [name for name, _label in able_providers()]
    if provider not in able:
        words = _("“%(name)s” cannot rerank; choose one of %(able)s, or none.")
        return "rerank_provider", words % {"name": provider[:40], "able": ", ".join(able)}
    if not model:
        return "rerank_model", _("Say which of its models reranks, by the provider's own name of it.")
    return None
