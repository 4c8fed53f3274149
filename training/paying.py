"""Trainings in the ledger: held by their estimate before they wait, drawn on by each attempt, stopped where money ends.

A training without an estimate, or on devices without a price, holds nothing and is written down all the same.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.notices import notify
from apex.common.states import move
from ledger import budgets
from ledger.lines import Line
from ledger.models import Budget, Kind, Outcome, Reservation
from ledger.money import Amount, HourPrice, nanos_of
from ledger.refusals import BudgetSpent
from training import events
from training.models import MOVES, UNFINISHED, Attempt, JobEvent, Status, TrainingJob

LEASE = timedelta(hours=1)
# So far ahead a training at work is paid for; less than two sweeps would stop it too late.
AHEAD_SECONDS = 120
OUTCOMES = {
    Status.FAILED: Outcome.FAILED,
    Status.CRASHED: Outcome.FAILED,
    Status.CANCELLED: Outcome.LEFT,
    "lost": Outcome.FAILED,
}


def subject_of(job: TrainingJob) -> str:
    return f"job-{job.pk}"


def expected(job: TrainingJob) -> Amount:
    """By its estimate: the price on demand, and the time of all its devices."""
    cost = (job.estimate.get("cost") or {}).get("on_demand") or 0
    seconds = (job.estimate.get("seconds") or 0) * job.device_count
    return Amount.of(cost, gpu_seconds=seconds)


def hold_for(job: TrainingJob) -> None:
    """Holds what the training is expected to cost, until it has ended. Raises BudgetSpent."""
    what = _("Training: %(name)s") % {"name": job.name}
    budgets.reserve(job.owner, expected(job), what=what, subject=subject_of(job), lease=LEASE)


def tell_refused(owner, name: str, spent: BudgetSpent) -> None:
    """The bell, with the arithmetic. The caller has undone all else by now."""
    words = _("The training %(name)s was not started. %(why)s")
    mail = _("A training of yours was not started: a budget was too small for it.")
    notify(
        owner=owner,
        text=words % {"name": name, "why": spent.message},
        url="/usage/",
        kind="budget",
        mail=mail,
    )


def write_down(attempt: Attempt, outcome: str) -> None:
    """The time of an attempt that has just ended, at the price of its devices."""
    line = line_of(attempt, outcome)
    reservation = budgets.reservation_for(subject_of(attempt.job))
    if reservation:
        budgets.draw(reservation, [line])
    else:
        budgets.settle(None, [line])


def line_of(attempt: Attempt, outcome: str = "") -> Line:
    """The attempt until now."""
    now = timezone.now()
    seconds = max(0.0, (now - attempt.started_at).total_seconds())
    job, devices = attempt.job, max(1, attempt.device_count)
    price = None
    if attempt.price_per_hour:
        source = _("price of the device %(name)s") % {"name": attempt.hardware}
        price = HourPrice.per_hour(Decimal(attempt.price_per_hour) / devices, source=source)
    return Line(
        owner_id=job.owner_id,
        kind=Kind.GPU_SECONDS,
        activity="training",
        model=job.base_model.name,
        price=price,
        gpu_seconds=seconds * devices,
        job_id=job.pk,
        reference=f"attempt-{attempt.pk}",
        at=now,
        outcome=OUTCOMES.get(outcome, Outcome.OK),
        latency_ms=round(seconds * 1000, 3),
    )


def release_for(job: TrainingJob) -> None:
    """Gives back what is left: the training has ended."""
    budgets.release(budgets.reservation_for(subject_of(job)))


def look_after() -> None:
    """Keeps what is held for trainings that have not ended; pauses those at work whose money has come to an end."""
    renew()
    if Budget.objects.exists():
        for attempt in Attempt.objects.open().select_related("job__owner", "job__base_model"):
            if attempt.job.status == Status.RUNNING and attempt.token == attempt.job.fence:
                pay_ahead(attempt)


def renew() -> None:
    due = Reservation.objects.filter(
        subject__startswith="job-", expires_at__lt=timezone.now() + LEASE / 2
    ).values_list("subject", flat=True)
    if subjects := list(due):
        keys = [subject.removeprefix("job-") for subject in subjects]
        there = TrainingJob.objects.filter(pk__in=keys, status__in=UNFINISHED)
        budgets.renew([subject_of(job) for job in there], lease=LEASE)


def pay_ahead(attempt: Attempt) -> None:
    """Holds what it has taken and will take until somebody looks again; else it pauses, and saves where it is."""
    job, devices = attempt.job, max(1, attempt.device_count)
    so_far = line_of(attempt).amount
    per_hour = nanos_of(attempt.price_per_hour or 0)
    ahead = Amount(per_hour * AHEAD_SECONDS // 3600, 0, AHEAD_SECONDS * devices * 1000)
    what = _("Training: %(name)s") % {"name": job.name}
    try:
        budgets.ensure(job.owner, so_far + ahead, what=what, subject=subject_of(job), lease=LEASE)
    except BudgetSpent as spent:
        pause(job, spent)


def pause(job: TrainingJob, spent: BudgetSpent) -> None:
    with transaction.atomic():
        if move(job, Status.PAUSING, moves=MOVES):
            words = _("Its budget has come to an end, so it pauses and saves where it is. %(why)s")
            JobEvent.objects.create(job=job, kind="training.pausing", message=words % {"why": spent.message})
            told = _("%(name)s pauses, because its budget has come to an end. %(why)s")
            values = {"name": job.name, "why": spent.message}
            mail = _("A training of yours pauses and saves where it is: its budget has come to an end.")
            url = f"/training/{job.pk}/"
            notify(owner=job.owner, text=told % values, url=url, kind="budget", mail=mail)
            events.job_changed(job)
