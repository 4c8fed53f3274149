"""Answers of our own servers in the ledger: what one could take at most, and the line that it leaves there."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from ledger import budgets
from ledger.lines import Line
from ledger.models import Kind, Outcome, Reservation
from ledger.money import Amount, TokenPrice
from serving.protocol import CompletionRequest, EmbeddingRequest

LEFT = 499  # nginx's number for a client that left
BYTES_A_TOKEN = 2  # of a request's body, at least
USUAL_BYTES_A_TOKEN = 4


def most_of(request: Any, size: int, price: TokenPrice | None) -> Amount:
    """What a checked request with a body of `size` bytes could take.

    An answer whose length nobody limits is taken to have BUDGET_ANSWER_TOKENS.
    """
    read = size // BYTES_A_TOKEN + 1
    written = 0
    if not isinstance(request, EmbeddingRequest):
        choices = getattr(request, "best_of", 1) if isinstance(request, CompletionRequest) else 1
        choices = max(choices, request.n)
        if isinstance(request, CompletionRequest):
            choices *= len(request.prompts)
        length = request.max_tokens
        written = choices * (settings.BUDGET_ANSWER_TOKENS if length is None else length)
    return Amount(price.nanos(read, written) if price else 0, read + written)


def read_about(request: Any, size: int) -> int:
    """Tokens of a question with a body of `size` bytes, where nobody told them: who left before the end has been
    read all the same."""
    given = getattr(request, "prompts", None) or getattr(request, "inputs", None)
    if given and isinstance(given[0], list):
        return sum(map(len, given))
    return size // USUAL_BYTES_A_TOKEN + 1


def hold(user, most: Amount, *, token_id=None, what: str, subject: str | None = None) -> Reservation:
    """Raises `BudgetSpent`. Whatever may take longer than `budgets.LEASE` names a `subject`, and renews it."""
    return budgets.reserve(user, most, token=token_id, what=what, subject=subject)


def outcome_of(status: int) -> str:
    """By the HTTP status of an answer; 0: it never got one."""
    if status == LEFT:
        return Outcome.LEFT
    if status == 200:
        return Outcome.OK
    return Outcome.REFUSED if 400 <= status < 500 else Outcome.FAILED


def line(owner_id: int, activity: str, *, status: int, outcome: str | None = None, **fields: Any) -> Line:
    """`activity`: chat, completions, embeddings, playground, …; other fields are those of a line."""
    return Line(
        owner_id=owner_id,
        kind=Kind.OWN_TOKENS,
        activity=activity,
        status=status,
        outcome=outcome or outcome_of(status),
        **fields,
    )
