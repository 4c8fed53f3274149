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
def when(budget) -> str:
    return refusals.WHEN[refusals.Period(budget.period)]
