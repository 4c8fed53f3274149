"""A budget that is spent, with its arithmetic in a sentence."""

from __future__ import annotations

from datetime import timedelta

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apex.common.refusals import ApiError
from ledger.models import Counter, Measure, Period, Scope, period_start
from ledger.money import said

SENTENCES = {
    Scope.USER: gettext_lazy(
        "You have %(left)s of %(limit)s left %(when)s; this could cost up to %(asked)s."
    ),
    Scope.TOKEN: gettext_lazy(
        "This API token has %(left)s of %(limit)s left %(when)s; this could cost up to %(asked)s."
    ),
    Scope.MINION: gettext_lazy(
        "%(name)s has %(left)s of %(limit)s left %(when)s; this could cost up to %(asked)s."
    ),
}
WHEN = {
    Period.DAY: gettext_lazy("today"),
    Period.MONTH: gettext_lazy("this month"),
    Period.EVER: gettext_lazy("for good"),
}


class BudgetSpent(ApiError):
    """More than is left was asked for: 429 in OpenAI's words, 402 in ours. The message is the arithmetic."""

    def __init__(self, counter: Counter, asked: int):
        super().__init__(
            arithmetic(counter, asked), status=429, kind="insufficient_quota", code="insufficient_quota"
        )
        self.counter, self.asked = counter, asked

    @property
    def is_passing(self) -> bool:
        """There is enough once what runs just now gives back what it holds and does not take."""
        return (self.counter.limit or 0) - self.counter.spent >= self.asked


def arithmetic(counter: Counter, asked: int) -> str:
    """`You have $2.10 of $10.00 left this month; this could cost up to $3.40.` and what to do."""
    budget = counter.budget
    measure, limit = budget.measure, counter.limit or 0
    left = max(0, limit - counter.spent - counter.reserved)
    words = SENTENCES[Scope(budget.scope)] % {
        "left": amount_words(measure, left) if left else _("nothing"),
        "limit": amount_words(measure, limit),
        "when": WHEN[Period(budget.period)],
        "asked": amount_words(measure, asked),
        "name": budget.name or _("This minion"),
    }
    if counter.reserved:
        held = _("%(held)s is held for what runs just now.")
        words += " " + held % {"held": amount_words(measure, counter.reserved)}
    return f"{words} {advice(budget.period)}"


def advice(period: str) -> str:
    if period == Period.EVER:
        return _("Ask for less at once, or have the budget raised.")
    return _("Ask for less at once, wait until %(day)s (UTC), or have the budget raised.") % {
        "day": formats.date_format(next_period(period), "j F")
    }


def next_period(period: str):
    """The day on which it begins anew."""
    days = 1 if period == Period.DAY else 32
    return period_start(period, period_start(period) + timedelta(days=days))


def amount_words(measure: str, amount: int) -> str:
    """`$2.10`, `1,200 tokens`, `3.5 h of device time`."""
    if measure == Measure.MONEY:
        return said(amount)
    if measure == Measure.TOKENS:
        return _("%(count)s tokens") % {"count": f"{amount:,}"}
    seconds = amount / 1000
    if seconds < 120:
        return _("%(count)s s of device time") % {"count": f"{seconds:.0f}"}
    if seconds < 7200:
        return _("%(count)s min of device time") % {"count": f"{seconds / 60:.0f}"}
    return _("%(count)s h of device time") % {"count": f"{seconds / 3600:.1f}"}
