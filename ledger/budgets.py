"""Reserve, run, settle: what may cost money is held first, so that nobody uses more than is left.

    reservation = reserve(user, Decimal("3.40"), token=token, what="A training")
    try:
        …run…
    except …:
        release(reservation)
    else:
        settle(reservation, [Line(…), …])

Each counter is changed by one conditional UPDATE, never read and then written, in the order of their keys. A
reservation that its process did not live to settle is given back by the sweep when `expires_at` has passed; what takes
longer than LEASE renews it. What was used is always booked in full: a counter goes over its limit by no more than what
the last thing took beyond what was reserved for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from ledger import alerts, counting, days
from ledger.counting import concerns, counters_of, id_of
from ledger.lines import Line, insert
from ledger.models import Counter, Reservation, measured
from ledger.money import Amount
from ledger.refusals import BudgetSpent

LEASE = timedelta(seconds=settings.BUDGET_LEASE_SECONDS)


class _NotEnough(Exception):
    """Undoes what was held in other counters already."""

    def __init__(self, counter: Counter, asked: int):
        self.counter, self.asked = counter, asked


def reserve(
    user,
    amount: Amount | Decimal,
    *,
    token=None,
    minion_id=None,
    what: str,
    subject: str | None = None,
    lease: timedelta = LEASE,
) -> Reservation:
    """Holds what something could cost at most (dollars, or an `Amount`) in every budget that it concerns.

    All or nothing; raises `BudgetSpent`, whose message is the arithmetic. Where no budget stands, nothing is written
    and the reservation holds nothing. `token`: an `ApiToken` or its public id.
    """
    asked = amount if isinstance(amount, Amount) else Amount.of(amount)
    token_id, minion_id = id_of(token), id_of(minion_id)
    reservation = Reservation(
        owner_id=user.pk, what=what[:200], subject=subject, token_id=token_id, minion_id=minion_id,
        expires_at=timezone.now() + lease,
    )  # fmt: skip
    if not asked:
        return reservation
    try:
        with transaction.atomic():
            holds = []
            for counter in counters_of([user.pk]):
                much = measured(counter.budget.measure, asked)
                if much and concerns(counter, token_id, minion_id):
                    hold(counter, much)
                    holds.append([counter.pk, much])
            reservation.holds = holds
            if holds:
                reservation.save(force_insert=True)
    except _NotEnough as problem:
        raise spent(problem) from None
    return reservation


def spent(problem: _NotEnough) -> BudgetSpent:
    """What there is, as it stands now; and the bell, once."""
    problem.counter.refresh_from_db(fields=["spent", "reserved", "limit", "told"])
    error = BudgetSpent(problem.counter, problem.asked)
    alerts.tell_refused(problem.counter, error.message)
    return error


def ensure(
    user, amount: Amount, *, what: str, subject: str, token=None, minion_id=None, lease: timedelta = LEASE
) -> None:
    """Makes the reservation of this subject hold at least so much, and makes it where there is none.

    For what goes on for long, and may go on for longer than it was expected to. Raises `BudgetSpent`; then it holds
    what it held.
    """
    token_id, minion_id = id_of(token), id_of(minion_id)
    try:
        with transaction.atomic():
            current = Reservation.objects.select_for_update().filter(subject=subject).first()
            holds = dict(current.holds) if current else {}
            for counter in counters_of([user.pk]):
                more = measured(counter.budget.measure, amount) - holds.get(counter.pk, 0)
                if more > 0 and concerns(counter, token_id, minion_id):
                    hold(counter, more)
                    holds[counter.pk] = holds.get(counter.pk, 0) + more
            if not holds:
                return
            current = current or Reservation(owner_id=user.pk, what=what[:200], subject=subject)
            current.holds, current.expires_at = list(map(list, holds.items())), timezone.now() + lease
            current.save()
    except _NotEnough as problem:
        raise spent(problem) from None


def hold(counter: Counter, much: int) -> None:
    counting.turn(counter)
    room = Counter.objects.filter(pk=counter.pk, spent__lte=F("limit") - F("reserved") - much)
    if not room.update(reserved=F("reserved") + much):
        raise _NotEnough(counter, much)


def settle(reservation: Reservation | None, lines: Sequence[Line]) -> None:
    """Writes what it came to and gives the reservation back, both or neither. Without one: only the lines.

    Raises IntegrityError where a line with the same `reference` is there already; then nothing has changed.
    """
    book(lines, [reservation] if reservation else ())


def release(reservation: Reservation | None) -> None:
    """Gives back what is held: nothing was used. Harmless where that has been done."""
    if reservation:
        book((), [reservation])


def draw(reservation: Reservation, lines: Sequence[Line]) -> None:
    """Writes lines, takes them out of what is held, and holds the rest for what is still to come."""
    with transaction.atomic():
        current = Reservation.objects.select_for_update().filter(pk=reservation.pk).first()
        taken: dict[int, int] = {}
        if current and current.holds:
            counters = {counter.pk: counter for counter in counters_of([current.owner_id])}
            used = used_in(counters.values(), lines)
            taken = {pk: min(much, used.get(pk, 0)) for pk, much in current.holds}
            current.holds = [[pk, much - taken[pk]] for pk, much in current.holds]
            current.save(update_fields=["holds"])
            reservation.holds = current.holds
        touched = write(lines, taken)
    alerts.tell(touched)


def book(lines: Sequence[Line], closing: Iterable[Reservation]) -> None:
    """Many lines and the ends of many reservations at once, in one transaction."""
    with transaction.atomic():
        touched = write(lines, close([one for one in closing if one.holds]))
    alerts.tell(touched)


def close(reservations: Sequence[Reservation]) -> dict[int, int]:
    """Ends them; returns what they held, by the counters' keys. Of all who would end one, exactly one gets it."""
    held: dict[int, int] = defaultdict(int)
    if reservations:
        keys = [reservation.pk for reservation in reservations]
        there = Reservation.objects.select_for_update().filter(pk__in=keys).order_by("pk")
        found = list(there.values_list("pk", "holds"))
        Reservation.objects.filter(pk__in=[pk for pk, _holds in found]).delete()
        for _pk, holds in found:
            for counter, much in holds:
                held[counter] += much
    return held


def write(lines: Sequence[Line], held: dict[int, int]) -> list[Counter]:
    """Lines into the table, their sums into the counters, `held` out of them. Returns the counters that grew."""
    # Before the lines: a counter that begins here begins with what stood in the ledger until now.
    found = counters_of({line.owner_id for line in lines}) if lines else []
    counters = {counter.pk: counter for counter in found}
    if lines:
        insert(lines)
        days.add(lines)
    used = used_in(found, lines)
    for pk in sorted({*held, *used}):
        Counter.objects.filter(pk=pk).update(
            reserved=F("reserved") - held.get(pk, 0), spent=F("spent") + used.get(pk, 0)
        )
    return [counters[pk] for pk in used]


def used_in(counters: Iterable[Counter], lines: Sequence[Line]) -> dict[int, int]:
    """How much of the lines each of the counters counts, by its key."""
    used: dict[int, int] = {}
    for counter in counters:
        counting.turn(counter)
        much = sum(
            measured(counter.budget.measure, line.amount)
            for line in lines
            if line.owner_id == counter.owner_id
            and line.at >= counter.began_at
            and concerns(counter, line.token_id, line.minion_id)
        )
        if much:
            used[counter.pk] = much
    return used


def renew(subjects: Iterable[str], lease: timedelta = LEASE) -> None:
    """Keeps reservations of what still runs; writes only where half of the time is over."""
    now = timezone.now()
    Reservation.objects.filter(subject__in=list(subjects), expires_at__lt=now + lease / 2).update(
        expires_at=now + lease
    )


def reservation_for(subject: str) -> Reservation | None:
    return Reservation.objects.filter(subject=subject).first()


def release_expired() -> int:
    """Gives back what was left behind. Returns how many."""
    left = list(Reservation.objects.filter(expires_at__lt=timezone.now())[:500])
    for reservation in left:
        release(reservation)
    return len(left)
