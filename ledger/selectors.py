"""What was used, filtered and summed for pages, the API and CSV; budgets with what is left."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db.models import Avg, Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import ApiToken, User
from ledger import counting
from ledger.models import Budget, Counter, Kind, Outcome, UsageLine, public
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
    lines = (
        UsageLine.objects.all()
        if wish.is_everybodys and user.is_superuser
        else UsageLine.objects.for_user(user)
    )
    begin = datetime.combine(wish.since, time(), tzinfo=UTC)
    end = datetime.combine(wish.until + timedelta(days=1), time(), tzinfo=UTC)
    lines = lines.filter(at__gte=begin, at__lt=end)
    equal = {
        "kind": wish.kind, "model": wish.model, "provider": wish.provider, "activity": wish.activity,
        "outcome": wish.outcome, "minion_id": wish.minion, "token_id": wish.token,
    }  # fmt: skip
    lines = lines.filter(**{name: value for name, value in equal.items() if value})
    if wish.owner and wish.is_everybodys and user.is_superuser:
        lines = lines.filter(owner_id__in=User.objects.filter(username=wish.owner).values("pk"))
    return lines


SUMS = {
    "count": Count("pk"),
    "failures": Count("pk", filter=~Q(outcome__in=[Outcome.OK, Outcome.LEFT])),
    "nanos": Sum("nanos", default=0),
    "input_tokens": Sum("input_tokens", default=0),
    "output_tokens": Sum("output_tokens", default=0),
    "gpu_ms": Sum("gpu_ms", default=0),
    "latency_ms": Avg("latency_ms", filter=~Q(kind=Kind.GPU_SECONDS)),
    "slowest_ms": Max("latency_ms", filter=~Q(kind=Kind.GPU_SECONDS)),
    "first_byte_ms": Avg("first_byte_ms"),
}


# Under other names than the columns that they sum.
AS_SUMS = {f"sum_{name}": sum_ for name, sum_ in SUMS.items()}


def total(lines: QuerySet) -> dict[str, Any]:
    return summed(lines.order_by().aggregate(**AS_SUMS))


def grouped(lines: QuerySet, by: Sequence[str]) -> list[dict[str, Any]]:
    """One sum for each group, days in order, others the dearest first; at most MOST_GROUPS of them."""
    columns = [GROUPS[name] for name in by]
    order = ["day"] if by[0] == "day" else ["-sum_nanos", "-sum_count"]
    rows = list(
        lines.order_by().values(*columns).annotate(**AS_SUMS).order_by(*order, *columns)[:MOST_GROUPS]
    )
    names = names_in(rows)
    found = []
    for row in rows:
        keys = {name: row[GROUPS[name]] for name in by}
        said = {
            f"{name}_name": names.get(keys[name], "") for name in ("minion", "token", "owner") if name in keys
        }
        found.append(keys | said | summed(row))
    return found


def summed(row: dict[str, Any]) -> dict[str, Any]:
    """The sums of a row as people read them: dollars, seconds, milliseconds."""
    sums = {name.removeprefix("sum_"): value for name, value in row.items() if name.startswith("sum_")}
    nanos, gpu_ms = sums.pop("nanos"), sums.pop("gpu_ms")
    rounded = {
        name: None if sums[name] is None else round(sums[name], 1)
        for name in ("latency_ms", "slowest_ms", "first_byte_ms")
    }
    return sums | rounded | {"money": dollars_of(nanos), "gpu_seconds": round(gpu_ms / 1000, 3)}


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


def choices_in(lines: QuerySet) -> dict[str, list[str]]:
    """What can be filtered for, out of what is there."""
    return {
        name: sorted(lines.order_by().values_list(name, flat=True).distinct()[:200])
        for name in ("model", "provider", "activity")
    }


# --- lines as CSV --------------------------------------------------------------------------------------------------

CSV_COLUMNS = (
    "at", "owner", "kind", "activity", "provider", "model", "minion", "token", "training", "reference", "input_tokens",
    "output_tokens", "cached_tokens", "gpu_seconds", "is_estimated", "money", "price_in", "price_out", "price_cached",
    "price_hour", "price_source", "outcome", "status", "first_byte_ms", "latency_ms",
)  # fmt: skip


class _Echo:
    def write(self, text: str) -> str:
        return text


def csv_of(lines: QuerySet) -> Iterator[str]:
    """Every line, newest first; what a spreadsheet would take for a formula is put in quotes of its own."""
    write = csv.writer(_Echo()).writerow
    yield write(CSV_COLUMNS)
    names: dict[int, str] = {}
    for line in lines.order_by("-at", "-pk").iterator(chunk_size=2000):
        if line.owner_id not in names:
            name = User.objects.filter(pk=line.owner_id).values_list("username", flat=True).first()
            names[line.owner_id] = name or str(line.owner_id)
        yield write([harmless(value) for value in csv_row(line, names[line.owner_id])])


def csv_row(line: UsageLine, owner: str) -> list[Any]:
    prices = (line.input_price, line.output_price, line.cached_price, line.hour_price)
    return [
        line.at.astimezone(UTC).isoformat(), owner, line.kind, line.activity, line.provider, line.model,
        line.minion_id, line.token_id, line.job_id, line.reference, line.input_tokens, line.output_tokens,
        line.cached_tokens, None if line.gpu_ms is None else line.gpu_ms / 1000, line.is_estimated,
        f"{line.money:f}", *(None if price is None else f"{dollars_of(price):f}" for price in prices),
        line.price_source, line.outcome, line.status, line.first_byte_ms, line.latency_ms,
    ]  # fmt: skip


def harmless(value: Any) -> Any:
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value


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
