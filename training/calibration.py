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
    """Of trainings on one kind of hardware. `factor`: reached speed by the formula's; `error`: mean share by which
    estimates of the time missed, of `estimates` trainings, None without any. `is_same_model`: of this base model alone.
    """

    factor: float
    runs: int
    is_same_model: bool
    error: float | None = None
    estimates: int = 0

    def as_dict(self) -> dict:
        return {
            "factor": round(self.factor, 4),
            "runs": self.runs,
            "is_same_model": self.is_same_model,
            "error": None if self.error is None else round(self.error, 4),
            "estimates": self.estimates,
        }


def past_of(hardware: str, base_model, finished: list[TrainingJob]) -> Past | None:
    """What `finished` trainings on this hardware teach: those of the same base model if there are any, else all."""
    jobs = [job for job in finished if ran_on(job) == hardware]
    ratios = [(job.base_model_id, ratio) for job in jobs if (ratio := _ratio(job, hardware))]
    same = [ratio for model, ratio in ratios if model == base_model.pk][:COUNTED]
    used = same or [ratio for _model, ratio in ratios][:COUNTED]
    if not used:
        return None
    errors = [error for job in jobs if (error := error_of(job)) is not None][:ERRORS_COUNTED]
    return Past(
        statistics.median(used),
        len(used),
        bool(same),
        statistics.fmean(errors) if errors else None,
        len(errors),
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
    attempts = list(job.attempts.all())
    told = (job.estimate.get("by_hardware") or {}).get(ran_on(job), {}).get("seconds")
    if len(attempts) != 1 or attempts[0].ended_at is None or not told or not job.total_steps:
        return None
    seconds = (attempts[0].ended_at - attempts[0].started_at).total_seconds()
    expected = told * min(1.0, job.step / job.total_steps)
    return abs(seconds - expected) / seconds if seconds > 0 else None


def finished_trainings() -> list[TrainingJob]:
    """The newest of everybody that ended well, with their attempts: only numbers of them are ever shown."""
    jobs = TrainingJob.objects.filter(status=Status.SUCCEEDED, tokens_per_second__gt=0).order_by("-ended_at")
    wanted = jobs.only(
        "estimate", "facts", "tokens_per_second", "step", "total_steps", "base_model", "ended_at"
    )
    return list(wanted.prefetch_related("attempts")[:LOOKED_AT])


def _last_attempt(job: TrainingJob):
    return max(job.attempts.all(), key=lambda attempt: attempt.token, default=None)


def _ratio(job: TrainingJob, hardware: str) -> float | None:
    formula = (job.estimate.get("by_hardware") or {}).get(hardware, {}).get("formula_tokens_per_second")
    return job.tokens_per_second / formula if formula and job.tokens_per_second else None
