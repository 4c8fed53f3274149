"""Names and payloads of what training tells the pages."""

from apex.common.events import announce, user_group
from training.models import Chain, TrainingJob


def job_group(job_id) -> str:
    return f"job.{job_id}"


def job_changed(job: TrainingJob) -> None:
    """The job's pages read their fragments again; so do the owner's lists."""
    announce(job_group(job.pk), {"type": "job.changed", "id": str(job.pk)})
    announce(user_group(job.owner_id), {"type": "job.changed", "id": str(job.pk)})


def chain_changed(chain: Chain) -> None:
    """The owner's pages of chains read their fragments again."""
    announce(user_group(chain.owner_id), {"type": "chain.changed", "id": str(chain.pk)})


def points_recorded(job: TrainingJob, points: list[list]) -> None:
    """`points`: `[step, loss or null, held-out loss or null]`, in order."""
    announce(
        job_group(job.pk),
        {
            "type": "job.points",
            "id": str(job.pk),
            "points": points,
            "step": job.step,
            "total_steps": job.total_steps,
            "eta_seconds": job.eta_seconds,
            "tokens_per_second": job.tokens_per_second,
        },
    )
