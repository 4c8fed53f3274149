"""What past trainings say about estimates: how fast this hardware really is, and how far off estimates were.

An estimate keeps, for each kind of hardware that it looked at, what the formula alone said (`by_hardware` in
`TrainingJob.estimate`). A finished job has what came of it. The two are compared where the job really ran there.
"""

import statistics
from dataclasses import dataclass

from training.engine.speed import hardware_key
from training.models import Status, TrainingJob

LOOKED_AT = 200  # finished trainings, newest first
COUNTED = 10  # of them, for the speed
ERRORS_COUNTED = 5


@dataclass(frozen=True)
class Past:
    """Of trainings on one kind of hardware. `factor`: reached speed by the formula's; `beside`: the same of the time
    beside learning, None where it cannot be told. `error`: mean share by which estimates of the time missed, of
    `estimates` trainings, None without any. `is_same_model`: of this base model alone.
    """

    factor: float
    runs: int
    is_same_model: bool
    beside: float | None = None
    error: float | None = None
    estimates: int = 0

    def as_dict(self) -> dict:
        return {
            "factor": round(self.factor, 4),
            "runs": self.runs,
            "is_same_model": self.is_same_model,
            "beside": None if self.beside is None else round(self.beside, 4),
            "error": None if self.error is None else round(self.error, 4),
            "estimates": self.estimates,
        }


def past_of(hardware: str, base_model, finished: list[TrainingJob]) -> Past | None:
    """What `finished` trainings on this hardware teach: those of the same base model if there are any, else all."""
    jobs = [job for job in finished if ran_on(job) == hardware and _ratio(job, hardware)]
    same = [job for job in jobs if job.base_model_id == base_model.pk]
    used = (same or jobs)[:COUNTED]
    if not used:
        return None
    beside = [ratio for job in used if (ratio := _beside_ratio(job, hardware)) is not None]
    errors = [error for job in jobs if (error := error_of(job)) is not None][:ERRORS_COUNTED]
    return Past(
        factor=statistics.median(_ratio(job, hardware) for job in used),
        runs=len(used),
        is_same_model=bool(same),
        beside=statistics.median(beside) if beside else None,
        error=statistics.fmean(errors) if errors else None,
        estimates=len(errors),
    )


def ran_on(job: TrainingJob) -> str:
    """The kind of hardware that a job ran on at last, or nothing. The engine names a CPU's cores, its node does not."""
    attempt = _last_attempt(job)
    name = (job.facts.get("started") or {}).get("device", "") or (attempt.hardware if attempt else "")
    return hardware_key(name) if name else ""


def error_of(job: TrainingJob) -> float | None:
    """Share by which the estimate of a finished job's time missed; None where the two cannot be compared.

    Only trainings in one piece count: what an interruption costs was never estimated. A training that ended early
    is compared with that part of the estimate.
    """
    told, seconds = _told(job, ran_on(job)).get("seconds"), _seconds_in_one_piece(job)
    if not told or not seconds or not job.total_steps:
        return None
    return abs(seconds - told * min(1.0, job.step / job.total_steps)) / seconds


def finished_trainings() -> list[TrainingJob]:
    """The newest of everybody that ended well, with their attempts: only numbers of them are ever shown."""
    jobs = TrainingJob.objects.filter(status=Status.SUCCEEDED, tokens_per_second__gt=0).order_by("-ended_at")
    wanted = jobs.only(
        "estimate", "facts", "tokens_per_second", "tokens", "step", "total_steps", "base_model", "ended_at"
    )
    return list(wanted.prefetch_related("attempts")[:LOOKED_AT])


def _last_attempt(job: TrainingJob):
    return max(job.attempts.all(), key=lambda attempt: attempt.token, default=None)


def _told(job: TrainingJob, hardware: str) -> dict:
    """What was estimated of it for this hardware."""
    return (job.estimate.get("by_hardware") or {}).get(hardware, {})


def _seconds_in_one_piece(job: TrainingJob) -> float | None:
    """How long it took from its start to its end; None if it was interrupted."""
    attempts = list(job.attempts.all())
    if len(attempts) != 1 or attempts[0].ended_at is None:
        return None
    return (attempts[0].ended_at - attempts[0].started_at).total_seconds()


def _ratio(job: TrainingJob, hardware: str) -> float:
    """Reached speed by that of the formula; 0 where it cannot be told."""
    formula = _told(job, hardware).get("formula_tokens_per_second")
    return (job.tokens_per_second or 0.0) / formula if formula else 0.0


def _beside_ratio(job: TrainingJob, hardware: str) -> float | None:
    """Time that was not spent on steps, by what the formula said of it."""
    formula, seconds = _told(job, hardware).get("beside_seconds"), _seconds_in_one_piece(job)
    if not formula or not seconds or not job.tokens_per_second:
        return None
    return max(0.0, seconds - job.tokens / job.tokens_per_second) / formula
