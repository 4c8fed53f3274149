"""What an answer costs: what a superuser wrote down, else the price list that comes along (genai-prices)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ledger.money import TokenPrice
from providers.base import ModelInfo, Price
from providers.models import PriceOverride

# Our names of providers → those of the list. NVIDIA is missing there; Hugging Face is there by whom it passes on to.
LISTED = {"openai": "openai", "anthropic": "anthropic"}
FREE = Price(Decimal(0), Decimal(0), source="your own machine")


def price_of(provider: str, model: str) -> Price | None:
    """None where nobody knows it."""
    return overridden(PriceOverride.objects.filter(provider=provider), model) or listed(provider, model)


def ledger_price_of(provider: str, model: str) -> TokenPrice | None:
    """The same as the ledger keeps it."""
    found = price_of(provider, model)
    return found and as_in_ledger(found)


def as_in_ledger(price: Price, *, source: str = "") -> TokenPrice:
    """`source` is for a price that does not say its own."""
    return TokenPrice.per_million(price.input, price.output, price.cached, source=price.source or source)


def with_prices(provider: str, models: Iterable[ModelInfo]) -> list[tuple[ModelInfo, Price | None]]:
    """Each with what counts here: set by a superuser, said by the provider itself, or listed."""
    rows = list(PriceOverride.objects.filter(provider=provider))
    return [
        (model, overridden(rows, model.id) or model.price or listed(provider, model.id)) for model in models
    ]


def overridden(rows: Iterable[PriceOverride], model: str) -> Price | None:
    found = [row for row in rows if fits(row.model, model)]
    if not found:
        return None
    row = max(found, key=lambda row: (not row.model.endswith("*"), len(row.model)))
    source = f"set here{': ' + row.note if row.note else ''}"
    return Price(row.input_price, row.output_price, row.cached_price, source)


def fits(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern


@lru_cache(maxsize=4096)
def listed(provider: str, model: str) -> Price | None:
    """By the list; it is read at the first need (a quarter of a second, 3 MB) and never fetched."""
    if provider == "ollama":
        return FREE
    name = model
    if provider == "huggingface":
        name, _colon, whom = model.partition(":")
        listed_as = f"huggingface_{whom}"
    elif provider in LISTED:
        listed_as = LISTED[provider]
    else:
        return None
    from genai_prices import Usage, calc_price
    from genai_prices import __version__ as version

    try:
        found = calc_price(Usage(input_tokens=1), name, provider_id=listed_as).model_price
    except LookupError:
        return None
    return of_list(found, f"genai-prices {version}")


def of_list(found: Any, source: str) -> Price | None:
    """Its dearer prices for long questions hold for the whole question, as ours do."""
    if found.input_mtok is None:
        return None
    starts = sorted({tier.start for part in parts_of(found) for tier in getattr(part, "tiers", [])})
    above = tuple((start, at(found, start, source)) for start in starts)
    base = at(found, -1, source)
    return Price(base.input, base.output, base.cached, source, above)


def parts_of(found: Any) -> list[Any]:
    return [found.input_mtok, found.output_mtok, found.cache_read_mtok]


def at(found: Any, tokens: int, source: str) -> Price:
    """The prices from `tokens` on; -1: the lowest."""
    read, written, cached = (value_at(part, tokens) for part in parts_of(found))
    return Price(read or Decimal(0), written or Decimal(0), cached, source)


def value_at(part: Any, tokens: int) -> Decimal | None:
    if part is None or isinstance(part, Decimal):
        return part
    reached = [tier.price for tier in part.tiers if tier.start <= tokens]
    return reached[-1] if reached else part.base
