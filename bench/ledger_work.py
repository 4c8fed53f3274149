"""What `bench.ledger` measures, in a process of its own: prints one JSON object."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from ledger import budgets, counting, services  # noqa: E402
from ledger.lines import Line  # noqa: E402
from ledger.models import Counter, Kind, Reservation, UsageLine, an_id  # noqa: E402
from ledger.money import Amount, TokenPrice  # noqa: E402

SECONDS = 2.0
PRICE = TokenPrice.per_million("0.15", "0.60", source="a list")
MOST = Amount(1_000_000, 2000)


def line(user: User) -> Line:
    return Line(
        owner_id=user.pk, kind=Kind.OWN_TOKENS, activity="chat", model="m", price=PRICE, input_tokens=500,
        output_tokens=200, status=200, first_byte_ms=3.5, latency_ms=80.0,
    )  # fmt: skip


def rate(act: Callable[[], int], threads: int = 1) -> float:
    """How many a second, after a tenth of the time to warm up."""
    counts, ends = [0] * threads, time.monotonic() + SECONDS * 1.1
    begins = time.monotonic() + SECONDS * 0.1

    def work(number: int) -> None:
        while (now := time.monotonic()) < ends:
            done = act()
            counts[number] += done if now >= begins else 0
        connection.close()

    if threads == 1:
        work(0)
    else:
        hands = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
    return sum(counts) / SECONDS


def many_lines(user: User) -> int:
    budgets.book([line(user) for _ in range(500)], ())
    return 500


def many_rows(user: User) -> int:
    now = timezone.now()
    UsageLine.objects.bulk_create(
        UsageLine(
            at=now, day=now.astimezone(UTC).date(), owner_id=user.pk, kind=Kind.OWN_TOKENS, activity="chat", model="m",
            reference=an_id(), input_tokens=500, output_tokens=200, status=200, first_byte_ms=3.5, latency_ms=80.0,
            nanos=PRICE.nanos(500, 200), input_price=PRICE.input, output_price=PRICE.output, price_source="a list",
        )
        for _ in range(500)
    )  # fmt: skip
    return 500


def pair(user: User) -> int:
    budgets.settle(budgets.reserve(user, MOST, what="bench"), [line(user)])
    return 1


def plain_pair(user: User) -> int:
    """A row is locked, read, changed and saved, twice."""
    with transaction.atomic():
        counter = Counter.objects.select_for_update().select_related("budget").filter(owner=user).get()
        assert counter.spent + counter.reserved + MOST.nanos <= counter.limit
        counter.reserved += MOST.nanos
        counter.save()
        held = Reservation.objects.create(
            owner=user,
            what="bench",
            holds=[[counter.pk, MOST.nanos]],
            expires_at=timezone.now() + budgets.LEASE,
        )
    with transaction.atomic():
        counter = Counter.objects.select_for_update().get(pk=counter.pk)
        one = line(user)
        UsageLine.objects.create(
            at=one.at, owner=user, kind=one.kind, activity="chat", model="m", reference=an_id(), input_tokens=500,
            output_tokens=200, nanos=one.nanos, input_price=PRICE.input, output_price=PRICE.output,
        )  # fmt: skip
        counter.reserved -= MOST.nanos
        counter.spent += one.nanos
        counter.save()
        held.delete()
    return 1


def reserve(user: User) -> int:
    budgets.release(budgets.reserve(user, MOST, what="bench"))
    return 1


def main() -> None:
    poor, rich = (User.objects.create_user(name) for name in ("poor", "rich"))
    found = {
        "lines": rate(lambda: many_lines(rich)),
        "lines_peer": rate(lambda: many_rows(rich)),
        "without": rate(lambda: reserve(rich)),
    }
    services.set_budget(owner=poor, limit=900_000)
    found["reserves"] = rate(lambda: reserve(poor))
    for name, threads in (("pairs", 1), ("pairs_8", 8), ("pairs_100", 100)):
        found[name] = rate(lambda: pair(poor), threads)
        found[f"{name}_peer"] = rate(lambda: plain_pair(poor), threads)
    counter = Counter.objects.select_related("budget").get(owner=poor)
    written = UsageLine.objects.filter(owner=poor).aggregate(Sum("nanos"))["nanos__sum"]
    assert counter.reserved == 0 and counter.spent == written == counting.sum_of(counter), (counter, written)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
