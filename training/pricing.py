"""What a training has cost and will cost, in US dollars, by the attempts that it took."""

from decimal import Decimal

from django.utils import timezone

from training.models import ENDED, Attempt, TrainingJob


def cost_of(attempt: Attempt) -> Decimal:
    """Of one attempt until it ended, or until now, by the price of all its devices. Without a price: nothing."""
    if not attempt.price_per_hour:
        return Decimal(0)
    seconds = ((attempt.ended_at or timezone.now()) - attempt.started_at).total_seconds()
    return Decimal(max(0.0, seconds)) / 3600 * attempt.price_per_hour


def cost_so_far(job: TrainingJob) -> float:
    """Over all attempts: what was lost in an interruption was paid for too."""
    return round(float(sum(map(cost_of, job.attempts.all()), Decimal(0))), 4)


def cost_expected(job: TrainingJob) -> float | None:
    """At its end: so far, and the time that is left at the price of the attempt at work; the estimate before it began.

    None where nobody has said.
    """
    so_far = cost_so_far(job)
    if job.status in ENDED:
        return so_far
    running = next((attempt for attempt in job.attempts.all() if attempt.ended_at is None), None)
    if running is None or job.eta_seconds is None:
        expected = (job.estimate.get("cost") or {}).get("on_demand")
        return None if expected is None else max(so_far, expected)
    return round(so_far + float(running.price_per_hour or 0) * job.eta_seconds / 3600, 4)
