"""What an answer may cost, held before; what it did cost, as lines of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledger.lines import Line
from ledger.models import Kind, Outcome
from ledger.money import Amount, TokenPrice, nanos_of
from minions.models import AnswerStatus, Choosing
from minions.prompts import tokens_in, tokens_of
from minions.recipes import Recipe
from minions.tracing import Attempt, Beside, Stage
from providers.base import Price, Usage
from providers.prices import as_in_ledger

if TYPE_CHECKING:
    from minions.answering import Answering

NOTHING = Amount()
OUTCOMES = {
    AnswerStatus.DONE: Outcome.OK,
    AnswerStatus.STOPPED: Outcome.LEFT,
    AnswerStatus.BROKEN: Outcome.FAILED,
    AnswerStatus.FAILED: Outcome.FAILED,
}


def most(
    recipe: Recipe,
    turns: Sequence[dict[str, Any]],
    prices: dict[str, Price],
    own: TokenPrice | None = None,
    look_up: Amount = NOTHING,
) -> Amount:
    """The most that an answer could take: the dearest link of the chain reads and writes all that it may.

    Asking two at once counts twice. What has no price counts in tokens only. `look_up`: what the question's
    vectors take.
    """
    read = tokens_in(turns) + tokens_of(recipe.persona)
    nanos = tokens = 0
    if recipe.has_style:
        written = recipe.style_tokens if recipe.has_chain and not recipe.rewrites else recipe.answer_tokens
        seen = read + recipe.answer_tokens if recipe.rewrites else read
        nanos, tokens = own.nanos(seen, written) if own else 0, seen + written
    if recipe.has_chain:
        if recipe.has_knowledge:
            read += recipe.knowledge_tokens
        if recipe.has_style and not recipe.rewrites:
            read += recipe.style_tokens
        times = 2 if recipe.choosing == Choosing.HEDGED and len(recipe.chain) > 1 else 1
        usage = Usage(read, recipe.answer_tokens)
        dearest = max(
            (prices[link.name].cost(usage) for link in recipe.chain if link.name in prices), default=0
        )
        nanos += times * nanos_of(dearest)
        tokens += times * (read + recipe.answer_tokens)
    return Amount(nanos, tokens) + look_up


def lines_of(answering: Answering) -> list[Line]:
    """One line for each stage that took tokens, for what else it took, and, without tokens, for each try that failed,
    so that what fails how often can be seen by model and minion."""
    stages = answering.trace.stages
    lines = [_line(answering, stage) for stage in stages if stage.input_tokens or stage.output_tokens]
    lines += [_line_beside(answering, stage, each) for stage in stages for each in stage.beside]
    tries = [(stage, each) for stage in stages for each in stage.attempts if not each.is_billed]
    return lines + [_failed(answering, stage, each) for stage, each in tries]


def _failed(answering: Answering, stage: Stage, attempt: Attempt) -> Line:
    return _of(
        answering, stage, *attempt.asked, outcome=Outcome.FAILED, error=attempt.kind,
        latency_ms=round(attempt.took_ms, 3),
    )  # fmt: skip


def _line_beside(answering: Answering, stage: Stage, each: Beside) -> Line:
    return _of(
        answering, stage, each.provider, each.model, price=each.price or _price(answering, each), outcome=each.outcome,
        error=each.error, **_tokens(each),
    )  # fmt: skip


def _line(answering: Answering, stage: Stage) -> Line:
    is_last = stage.model == answering.trace.model
    return _of(
        answering, stage, stage.provider, stage.model, price=_price(answering, stage),
        adapter_id=answering.minion.adapter_id if stage.provider == "apex" else None,
        outcome=OUTCOMES[AnswerStatus(answering.status)] if is_last else Outcome.OK,
        error="broken" if is_last and answering.status == AnswerStatus.BROKEN else "",
        is_stream=answering.asked.is_stream and is_last, first_byte_ms=stage.first_ms, latency_ms=stage.took_ms,
        **_tokens(stage),
    )  # fmt: skip


def _of(answering: Answering, stage: Stage, provider: str, model: str, **more: Any) -> Line:
    """What every line of an answer has."""
    return Line(
        owner_id=answering.minion.owner_id, kind=Kind.OWN_TOKENS if provider == "apex" else Kind.PROVIDER_TOKENS,
        activity=f"minion {stage.kind}", provider=provider, model=model, token_id=answering.asked.token_id,
        minion_id=answering.minion.pk, **more,
    )  # fmt: skip


def _tokens(took: Stage | Beside) -> dict[str, Any]:
    return {
        "input_tokens": took.input_tokens, "output_tokens": took.output_tokens,
        "cached_tokens": took.cached_tokens or None, "is_estimated": took.is_estimated,
    }  # fmt: skip


def _price(answering: Answering, stage: Stage | Beside) -> TokenPrice | None:
    if stage.provider == "apex":
        return answering.means.own_price
    price = answering.means.prices.get(f"{stage.provider}/{stage.model}")
    return price and as_in_ledger(price.at(stage.input_tokens), source=stage.price_source)
