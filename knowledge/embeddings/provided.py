"""Vectors of a provider that its owner chose. Texts leave this machine; the owner's key pays, or one lent to them, so
that their budgets count it."""

from collections.abc import Sequence

import numpy as np
from asgiref.sync import async_to_sync
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apex.common.acting import acting
from knowledge.embeddings.base import Booking, EmbeddingFailed
from knowledge.models import KnowledgeIndex
from ledger import budgets
from ledger.lines import Line
from ledger.models import Kind
from ledger.money import Amount
from ledger.refusals import BudgetSpent
from providers.base import WORTH_ANOTHER_TRY, Patience, ProviderFailed

AT_ONCE = 64  # texts in one call
BYTES_A_TOKEN = 4  # where a provider tells no count
# Somebody waits for a question's vector, and can go on without it.
ASKING = Patience(tries=2, first_wait=0.3, longest_wait=1, connect=3, first_byte=15, silence=15, total=20)


class Provided:
    label = gettext_lazy("By meaning, with a provider's model")

    def __init__(self, index: KnowledgeIndex) -> None:
        self.owner, self.provider, self.model = index.owner, index.provider, index.model
        if not self.provider or not self.model:
            raise EmbeddingFailed(_("Say which provider and which of its models makes the vectors."))

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        rows: list[list[float]] = []
        for begin in range(0, len(texts), AT_ONCE):
            rows += self.ask(list(texts[begin : begin + AT_ONCE]))
        return np.array(rows, "f4").reshape(len(texts), -1)

    def question(self, text: str, book: Booking | None = None) -> np.ndarray:
        return np.array(self.ask([text], is_question=True, book=book)[0], "f4")

    def most_of(self, text: str) -> Amount:
        return self.line([text]).amount

    def ask(
        self, texts: list[str], *, is_question: bool = False, book: Booking | None = None
    ) -> list[list[float]]:
        # Loaded when it is needed: whoever searches by words has no use for clients of providers.
        from providers.services import provider_for

        line = self.line(texts)
        try:
            client = provider_for(self.owner, self.provider, patience=ASKING if is_question else None)
            held = None
            if book is None:
                what = f"knowledge {self.model}"
                held = budgets.reserve(self.owner, line.amount, token=line.token_id, what=what)
            try:
                rows = async_to_sync(client.embed)(self.model, texts, is_question=is_question)
            except BaseException:
                budgets.release(held)
                raise
        except BudgetSpent as problem:
            raise EmbeddingFailed(problem.message) from problem
        except ProviderFailed as problem:
            raise EmbeddingFailed(problem.message, is_passing=problem.kind in WORTH_ANOTHER_TRY) from problem
        if rows.input_tokens is not None:
            line.input_tokens, line.is_estimated = rows.input_tokens, False
        book(line) if book else budgets.settle(held, [line])
        if len(rows) != len(texts) or len({len(row) for row in rows}) != 1:
            raise EmbeddingFailed(
                _("%(provider)s sent %(found)s vectors for %(wanted)s texts.")
                % {"provider": self.provider, "found": len(rows), "wanted": len(texts)}
            )
        return rows

    def line(self, texts: Sequence[str]) -> Line:
        """What vectors of these texts take, as it goes into the ledger."""
        from providers.prices import ledger_price_of

        price = ledger_price_of(self.provider, self.model)
        tokens = sum(len(text.encode()) // BYTES_A_TOKEN + 1 for text in texts)
        return Line(
            self.owner.pk, Kind.PROVIDER_TOKENS, "knowledge", provider=self.provider, model=self.model, price=price,
            input_tokens=tokens, is_estimated=True, token_id=acting().token_id,
        )  # fmt: skip


def able_providers() -> list[tuple[str, str]]:
    """Name and label of those that make vectors."""
    from providers.registry import all_providers

    return [(name, each.label) for name, each in all_providers().items() if "embeddings" in each.abilities]
