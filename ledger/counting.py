"""Which counters something concerns, and their periods. Rows are changed by single conditional updates."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, Q, Sum
from django.db.models.functions import Coalesce

from ledger.models import Budget, Counter, Measure, Scope, UsageLine, period_start

COLUMNS = {
    Measure.MONEY: ("nanos",),
    Measure.TOKENS: ("input_tokens", "output_tokens"),
    Measure.GPU_SECONDS: ("gpu_ms",),
}


def id_of(thing: Any) -> uuid.UUID | None:
    """The key of a token or a minion that may be given as itself, as its key, or as text."""
    if thing is None or isinstance(thing, uuid.UUID):
        return thing
    if isinstance(thing, str):
        return uuid.UUID(thing)
    return getattr(thing, "public_id", None) or thing.pk


def counters_of(owner_ids: Iterable[int]) -> list[Counter]:
    """The counters of these people, each with its budget, made where there was none yet. Two queries, or one."""
    owner_ids = set(owner_ids)
    budgets = list(Budget.objects.filter(Q(owner_id__in=owner_ids) | Q(owner=None)))
    if not budgets:
        return []
    wanted = {
        (budget.pk, owner_id): budget for owner_id in owner_ids for budget in in_force(budgets, owner_id)
    }
    known = {
        (counter.budget_id, counter.owner_id): counter
        for counter in Counter.objects.filter(owner_id__in=owner_ids, budget__in=budgets)
    }
    found = []
    for key, budget in wanted.items():
        counter = known.get(key) or begin(budget, key[1])
        counter.budget = budget
        found.append(counter)
    return sorted(found, key=lambda counter: counter.pk)


def in_force(budgets: list[Budget], owner_id: int) -> list[Budget]:
    """Those that bind this person: their own, and those for everybody in whose place none of theirs stands."""
    own = [budget for budget in budgets if budget.owner_id == owner_id]
    replaced = {
        (budget.measure, budget.period) for budget in own if budget.scope == Scope.USER and not budget.is_own
    }
    everybodys = [
        budget
        for budget in budgets
        if budget.owner_id is None and (budget.measure, budget.period) not in replaced
    ]
    return [budget for budget in own + everybodys if budget.limit is not None]


def concerns(counter: Counter, token_id, minion_id) -> bool:
    """Whether what is done with this token for this minion counts there."""
    budget = counter.budget
    if budget.scope == Scope.TOKEN:
        return token_id is not None and id_of(token_id) == budget.token_id
    if budget.scope == Scope.MINION:
        return minion_id is not None and id_of(minion_id) == budget.minion_id
    return True


def begin(budget: Budget, owner_id: int) -> Counter:
    """A counter that begins with what the ledger holds of this period already."""
    began = period_start(budget.period)
    counter, is_new = Counter.objects.get_or_create(
        budget=budget, owner_id=owner_id, defaults={"limit": budget.limit, "began_at": began}
    )
    if is_new:
        counter.budget = budget
        counter.spent = sum_of(counter)
        Counter.objects.filter(pk=counter.pk).update(spent=counter.spent)
    return counter


def sum_of(counter: Counter) -> int:
    """What the lines of the counter's period come to."""
    budget = counter.budget
    lines = UsageLine.objects.filter(owner_id=counter.owner_id, at__gte=counter.began_at)
    if budget.scope == Scope.TOKEN:
        lines = lines.filter(token_id=budget.token_id)
    elif budget.scope == Scope.MINION:
        lines = lines.filter(minion_id=budget.minion_id)
    columns = COLUMNS[Measure(budget.measure)]
    sums = lines.aggregate(
        **{f"sum_{name}": Coalesce(Sum(name), 0, output_field=BigIntegerField()) for name in columns}
    )
    return sum(sums.values())


def turn(counter: Counter, now: datetime | None = None) -> None:
    """Begins a new period where one has begun: nothing is used yet; what is held stays held."""
    began = period_start(counter.budget.period, now)
    if counter.began_at < began:
        Counter.objects.filter(pk=counter.pk, began_at__lt=began).update(
            began_at=began, spent=0, told=0, is_refusal_told=False
        )
        counter.began_at, counter.spent, counter.told = began, 0, 0
