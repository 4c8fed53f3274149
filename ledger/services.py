"""What people ask for: a budget, its end, a price of our own answers."""

from __future__ import annotations

from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from audit.models import Act
from audit.services import record_act
from ledger import counting
from ledger.models import Budget, Counter, Measure, Period, Scope
from ledger.money import nanos_of

MOST = {
    Measure.MONEY: 10**15,
    Measure.TOKENS: 10**15,
    Measure.GPU_SECONDS: 10**14,
}  # a million dollars, 3,000 years


class BudgetRefused(ValueError):
    """A budget cannot be as it was asked for; `field` names what to change, the message says how."""

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.field = field


def set_budget(
    *,
    owner,
    limit: Decimal | float | int | None,
    measure: str = Measure.MONEY,
    period: str = Period.MONTH,
    scope: str = Scope.USER,
    token_id=None,
    minion_id=None,
    name: str = "",
    is_own: bool = False,
) -> Budget:
    """Makes or changes the one budget of this kind; what is used already in this period counts.

    `limit` in dollars, tokens or seconds; None: no limit. `owner` None: everybody, each for themselves. `is_own`: set
    by its owner, beside those of the house. Raises `BudgetRefused`.
    """
    smallest = limit_of(measure, limit)
    token_id, minion_id = counting.id_of(token_id), counting.id_of(minion_id)
    refuse_odd(owner=owner, scope=scope, token_id=token_id, minion_id=minion_id)
    if period not in Period.values:
        raise BudgetRefused(
            _("The period is %(value)s; it can be %(known)s.")
            % {"value": period, "known": ", ".join(Period.values)},
            field="period",
        )
    if is_own and smallest is None:
        raise BudgetRefused(_("Say how much; to lift a limit of yours, remove it."), field="limit")
    budget = Budget(
        owner=owner, scope=scope, token_id=token_id, minion_id=minion_id, measure=measure, period=period,
        is_own=is_own, limit=smallest, name=name[:120],
    )  # fmt: skip
    try:
        with transaction.atomic():
            budget.save()
            note(budget)
    except IntegrityError:
        return change_limit(Budget.objects.get(key=budget.key), smallest, name)
    if owner is not None and smallest is not None:
        counting.counters_of([owner.pk])
    return budget


def refuse_odd(*, owner, scope: str, token_id, minion_id) -> None:
    """A token or a minion is named where it is meant, and has an owner. Raises `BudgetRefused`."""
    if (scope == Scope.TOKEN) != (token_id is not None) or (scope == Scope.MINION) != (minion_id is not None):
        raise BudgetRefused(_("Say of which token or minion, and only there."), field="scope")
    if owner is None and scope != Scope.USER:
        raise BudgetRefused(_("A budget of a token or a minion has an owner."), field="owner")


def change_limit(budget: Budget, limit: int | None, name: str = "") -> Budget:
    """In the smallest unit. Counters follow at once; whoever has more room again is told again when it ends."""
    with transaction.atomic():
        budget.limit, budget.name = limit, name[:120] or budget.name
        budget.save()
        Counter.objects.filter(budget=budget).update(limit=limit, told=0, is_refusal_told=False)
        note(budget)
    return budget


def remove_budget(*, budget: Budget) -> None:
    """What is held in its counters is forgotten with them; the ledger keeps every line."""
    with transaction.atomic():
        record_act(Act.BUDGET_REMOVED, subject="budget", name=str(budget), **told(budget))
        budget.delete()


def note(budget: Budget) -> None:
    record_act(Act.BUDGET_SET, subject="budget", name=str(budget), **told(budget))


def told(budget: Budget) -> dict:
    whose = budget.owner.get_username() if budget.owner else "everybody"
    return {"of": whose, "scope": budget.scope, "name_of": budget.name, "limit": budget.public_limit}


def limit_of(measure: str, limit) -> int | None:
    """In nanos, tokens or milliseconds. Raises `BudgetRefused`."""
    if measure not in Measure.values:
        raise BudgetRefused(
            _("It counts %(value)s; it can count %(known)s.")
            % {"value": measure, "known": ", ".join(Measure.values)},
            field="measure",
        )
    if limit is None:
        return None
    smallest = {
        Measure.MONEY: nanos_of,
        Measure.TOKENS: int,
        Measure.GPU_SECONDS: lambda seconds: round(float(seconds) * 1000),
    }[Measure(measure)](limit)
    if not 0 <= smallest <= MOST[Measure(measure)]:
        raise BudgetRefused(
            _("The limit is %(value)s; it can be from 0 on.") % {"value": limit}, field="limit"
        )
    return smallest
