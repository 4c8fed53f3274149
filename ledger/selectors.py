"""What was used, filtered and summed for pages and the API; budgets with what is left."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db.models import Max, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import ApiToken, User
from ledger import counting, days
from ledger.models import SPREAD, Budget, Counter, Outcome, UsageDay, UsageLine, public
from ledger.money import dollars_of

GROUPS = {
    "day": "day",
    "model": "model",
    "provider": "provider",
    "kind": "kind",
    "activity": "activity",
    "minion": "minion_id",
    "token": "token_id",
    "owner": "owner_id",
    "outcome": "outcome",
    "error": "error",
}
MOST_GROUPS = 1000
USUAL_DAYS = 30


@dataclass(frozen=True)
class Wish:
    """What is asked of the ledger. `since` and `until` are days in UTC, both within."""

    since: date
    until: date
    kind: str = ""
    model: str = ""
    provider: str = ""
    activity: str = ""
    outcome: str = ""
    minion: uuid.UUID | None = None
    token: uuid.UUID | None = None
    owner: str = ""
    is_everybodys: bool = False


def today() -> date:
    return timezone.now().astimezone(UTC).date()


def lines_for(user: User, wish: Wish) -> QuerySet:
    """The user's own lines; for a superuser who asks so, everybody's."""
    begin = datetime.combine(wish.since, time(), tzinfo=UTC)
    end = datetime.combine(wish.until + timedelta(days=1), time(), tzinfo=UTC)
    return wished(UsageLine.objects.filter(at__gte=begin, at__lt=end), user, wish)


def sums_for(user: User, wish: Wish) -> QuerySet:
    """The same as sums of days, which is what `total`, `grouped` and `errors_in` add up."""
    return wished(UsageDay.objects.filter(day__gte=wish.since, day__lte=wish.until), user, wish)


def wished(rows: QuerySet, user: User, wish: Wish) -> QuerySet:
    if not (wish.is_everybodys and user.is_superuser):
        rows = rows.for_user(user)
    equal = {
        "kind": wish.kind, "model": wish.model, "provider": wish.provider, "activity": wish.activity,
        "outcome": wish.outcome, "minion_id": wish.minion, "token_id": wish.token,
    }  # fmt: skip
    rows = rows.filter(**{name: value for name, value in equal.items() if value})
    if wish.owner and wish.is_everybodys and user.is_superuser:
        rows = rows.filter(owner_id__in=User.objects.filter(username=wish.owner).values("pk"))
    return rows


IS_FAILURE = ~Q(outcome__in=[Outcome.OK, Outcome.LEFT])
SUMS = {
    "count": Sum("count", default=0),
    "failures": Sum("count", filter=IS_FAILURE, default=0),
    "nanos": Sum("nanos", default=0),
    "input_tokens": Sum("input_tokens", default=0),
    "output_tokens": Sum("output_tokens", default=0),
    "gpu_ms": Sum("gpu_ms", default=0),
    "timed": Sum("timed", default=0),
    "latency_ms": Sum("latency_ms", default=0.0),
    "slowest_ms": Max("slowest_ms"),
    "timed_first": Sum("timed_first", default=0),
    "first_byte_ms": Sum("first_byte_ms", default=0.0),
}
SUMS |= {column: Sum(column, default=0) for columns in SPREAD.values() for column in columns}
# Under other names than the columns that they sum.
AS_SUMS = {f"sum_{name}": sum_ for name, sum_ in SUMS.items()}
SHARES = {"p50": 0.50, "p95": 0.95}


def total(sums: QuerySet) -> dict[str, Any]:
    return summed(sums.order_by().aggregate(**AS_SUMS))


def grouped(sums: QuerySet, by: Sequence[str]) -> list[dict[str, Any]]:
    """One sum for each group, days in order, others the dearest first; at most MOST_GROUPS of them."""
    columns = [GROUPS[name] for name in by]
    order = ["day"] if by[0] == "day" else ["-sum_nanos", "-sum_count"]
    rows = list(sums.order_by().values(*columns).annotate(**AS_SUMS).order_by(*order, *columns)[:MOST_GROUPS])
    names = names_in(rows)
    found = []
    for row in rows:
        keys = {name: row[GROUPS[name]] for name in by}
        said = {
            f"{name}_name": names.get(keys[name], "") for name in ("minion", "token", "owner") if name in keys
        }
        found.append(keys | said | summed(row))
    return found


def errors_in(sums: QuerySet) -> list[dict[str, Any]]:
    """What went wrong, the most frequent first, each with its share of all calls in per cent."""
    calls = sums.order_by().aggregate(of=Sum("count", default=0))["of"]
    rows = sums.order_by().filter(IS_FAILURE).values("error", "outcome").annotate(failures=Sum("count"))
    return [
        row | {"outcome_name": Outcome(row["outcome"]).label, "share": share_of(row["failures"], calls)}
        for row in rows.order_by("-failures", "error")[:MOST_GROUPS]
    ]


def share_of(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def no_more_than(slowest: float | None, ms: float | None) -> float | None:
    """A step of times reaches beyond the slowest that is counted in it."""
    return ms if ms is None or not slowest else min(ms, slowest)


def summed(row: dict[str, Any]) -> dict[str, Any]:
    """The sums of a row as people read them: dollars, seconds, means in milliseconds, shares in per cent."""
    sums = {name.removeprefix("sum_"): value for name, value in row.items() if name.startswith("sum_")}
    nanos, gpu_ms = sums.pop("nanos"), sums.pop("gpu_ms")
    timed, timed_first = sums.pop("timed"), sums.pop("timed_first")
    slowest = sums["slowest_ms"]
    first, whole = ([sums.pop(column) for column in SPREAD[time]] for time in ("first", "whole"))
    percentiles = {
        f"{time}_{name}_ms": no_more_than(slowest, days.percentile(steps, share))
        for time, steps in (("first_byte", first), ("latency", whole))
        for name, share in SHARES.items()
    }
    return (
        sums
        | percentiles
        | {
            "latency_ms": round(sums["latency_ms"] / timed, 1) if timed else None,
            "first_byte_ms": round(sums["first_byte_ms"] / timed_first, 1) if timed_first else None,
            "slowest_ms": None if slowest is None else round(slowest, 1),
            "failure_share": share_of(sums["failures"], sums["count"]),
            "money": dollars_of(nanos),
            "gpu_seconds": round(gpu_ms / 1000, 3),
        }
    )


def names_in(rows: list[dict[str, Any]]) -> dict[Any, str]:
    """What the tokens, minions and people of these rows are called now; those that are gone have no name."""
    tokens = {row["token_id"] for row in rows if row.get("token_id")}
    minions = {row["minion_id"] for row in rows if row.get("minion_id")}
    people = {row["owner_id"] for row in rows if row.get("owner_id")}
    names: dict[Any, str] = {}
    if tokens:
        names |= dict(ApiToken.objects.filter(public_id__in=tokens).values_list("public_id", "name"))
    if people:
        names |= dict(User.objects.filter(pk__in=people).values_list("pk", "username"))
    for module in settings.MINION_NAMES if minions else ():
        names |= import_module(module).names_of(minions)
    return names


def choices_in(sums: QuerySet) -> dict[str, list[str]]:
    """What can be filtered for, out of what is there."""
    return {
        name: sorted(sums.order_by().values_list(name, flat=True).distinct()[:200])
        for name in ("model", "provider", "activity")
    }


# --- budgets -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """A budget as it binds one person, in dollars, tokens or seconds. `share` is used and held, in per cent."""

    budget: Budget
    counter: Counter
    limit: Any
    spent: Any
    reserved: Any
    left: Any
    share: int


def standings(user: User) -> list[Standing]:
    """The budgets that bind this person."""
    found = []
    for counter in counting.counters_of([user.pk]):
        counting.turn(counter)
        measure, limit = counter.budget.measure, counter.limit or 0
        taken = counter.spent + counter.reserved
        found.append(
            Standing(
                counter.budget, counter, public(measure, limit), public(measure, counter.spent),
                public(measure, counter.reserved), public(measure, max(0, limit - taken)),
                min(100, round(100 * taken / limit)) if limit else 100,
            )
        )  # fmt: skip
    return found
