"""The bell at 80 % and at the end of a budget, and when something was refused, once each in a period."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import F
from django.utils.translation import gettext as _

from accounts.notices import notify
from ledger.models import Counter, Period
from ledger.refusals import WHEN, amount_words

NEARLY, ALL = 80, 100
USAGE = "/usage/"


def tell(counters: Sequence[Counter]) -> None:
    """Looks at counters that have grown, as they stand now."""
    if not counters:
        return
    keys = [counter.pk for counter in counters]
    near = Counter.objects.filter(pk__in=keys, told__lt=ALL, spent__gte=F("limit") * NEARLY / ALL)
    for counter in near.select_related("budget", "owner"):
        share = ALL if counter.spent >= counter.limit else NEARLY
        if counter.told < share:
            say(counter, share)


def tell_refused(counter: Counter, why: str) -> None:
    """Something was refused. Who was told that all is used up knows that."""
    untold = Counter.objects.filter(pk=counter.pk, told__lt=ALL, is_refusal_told=False)
    if untold.update(is_refusal_told=True):
        words = _("A budget was too small for something: %(why)s")
        mail = _("A budget of yours was too small for something, which was refused.")
        notify(owner=counter.owner, text=words % {"why": why}, url=USAGE, kind="budget", mail=mail)


def say(counter: Counter, share: int) -> None:
    told = Counter.objects.filter(pk=counter.pk, began_at=counter.began_at, told__lt=share)
    if not told.update(told=share):
        return
    words = (
        _("Your budget is nearly used up: %(spent)s of %(limit)s %(when)s%(name)s.")
        if share < ALL
        else _("Your budget is used up: %(spent)s of %(limit)s %(when)s%(name)s. What costs more is refused.")
    )
    budget = counter.budget
    values = {
        "spent": amount_words(budget.measure, counter.spent + counter.reserved),
        "limit": amount_words(budget.measure, counter.limit),
        "when": WHEN[Period(budget.period)],
        "name": f" ({budget.name})" if budget.name else "",
    }
    mail = words % (values | {"name": ""})
    notify(owner=counter.owner, text=words % values, url=USAGE, kind="budget", mail=mail)
