"""Money and amounts in words."""

from django import template

from ledger import refusals
from ledger.money import nanos_of, said

register = template.Library()


@register.filter
def money(dollars) -> str:
    """`Decimal("0.00034")` → "$0.00034"."""
    return said(nanos_of(dollars or 0))


@register.filter
def amount(counted: int, measure: str) -> str:
    """An amount of a counter: `$2.10`, `1,200 tokens`, `3.5 h of device time`."""
    return refusals.amount_words(measure, counted)


@register.filter
def left_of(standing) -> str:
    """What a `Standing` has left, in words."""
    counter = standing.counter
    left = max(0, (counter.limit or 0) - counter.spent - counter.reserved)
    return refusals.amount_words(standing.budget.measure, left)


@register.filter
def took(ms: float | None) -> str:
    """`85 ms`, `1.2 s`, `3 min`."""
    if ms is None:
        return "–"
    if ms < 1000:
        return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"


@register.filter
def when(budget) -> str:
    return refusals.WHEN[refusals.Period(budget.period)]
