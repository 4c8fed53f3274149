"""What a minion may cost and how often it may be asked: its budgets of the ledger, as its page shows and sets them."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import QuerySet

from ledger.models import Budget, Measure, Scope
from ledger.selectors import Standing, standings
from ledger.services import remove_budget, set_budget
from minions.models import Minion


def standings_of(minion: Minion) -> list[Standing]:
    """Its budgets, its owner's and the house's, with what is used, held and left."""
    return [each for each in standings(minion.owner) if each.budget.minion_id == minion.pk]


def set_limit(*, minion: Minion, dollars: Decimal, period: str) -> Budget:
    """Its owner's limit of money for a day, a month or for good; what is used already counts. Raises BudgetRefused."""
    return set_budget(
        owner=minion.owner, limit=dollars, measure=Measure.MONEY, period=period, scope=Scope.MINION,
        minion_id=minion.pk, name=minion.name, is_own=True,
    )  # fmt: skip


def own_budgets(minion: Minion) -> QuerySet[Budget]:
    """Those that its owner set, and may take away."""
    return Budget.objects.for_user(minion.owner).filter(minion_id=minion.pk, is_own=True)


def name_budgets(minion: Minion) -> None:
    """Refusals call the minion by its name of today."""
    Budget.objects.filter(minion_id=minion.pk).exclude(name=minion.name).update(name=minion.name)


def end_budgets(minion: Minion) -> None:
    """They go with their minion; lines of the ledger stay."""
    for budget in Budget.objects.filter(minion_id=minion.pk).select_related("owner"):
        remove_budget(budget=budget)
