"""What became of every training, read through the product itself: `manage.py shell -c "… write_down(path)"`."""

import hashlib
import json
from pathlib import Path

from apex.common import files
from training.metrics.store import read_blocks
from training.models import TrainingJob

SERIES = ("loss", "grad_norm", "learning_rate", "eval_loss")
WEIGHTS = "adapter_model.safetensors"


def write_down(path: str) -> None:
    """One JSON list of jobs in the order in which they were made."""
    jobs = TrainingJob.objects.order_by("created_at").prefetch_related("attempts", "events", "adapters")
    found = [written(job) for job in jobs]
    Path(path).write_text(json.dumps(found))


def written(job: TrainingJob) -> dict:
    return {
        "id": str(job.pk),
        "retry_of": str(job.retry_of_id) if job.retry_of_id else None,
        "name": job.name,
        "status": job.status,
        "reason": job.reason,
        "message": job.message,
        "steps": steps_of(job),
        "adapters": [weights_sha256(adapter.directory_sha256) for adapter in job.adapters.all()],
        "attempts": [
            {"token": a.token, "resumed_step": a.resumed_step, "last_step": a.last_step, "outcome": a.outcome,
             "has_ended": a.ended_at is not None}
            for a in sorted(job.attempts.all(), key=lambda attempt: attempt.token)
        ],
        "events": [{"id": e.pk, "kind": e.kind, "data": e.data} for e in job.events.all()],
    }  # fmt: skip


def steps_of(job: TrainingJob) -> list[list]:
    """`[step, loss, grad_norm, learning_rate, eval_loss]` of every step that is kept, bit for bit."""
    rows = [row for block in read_blocks(job) for row in block.rows()]
    return [[row["step"], *(row.get(name) for name in SERIES)] for row in rows]


def weights_sha256(directory_sha256: str) -> str:
    """Hash of the weights as whoever uses the adapter gets them."""
    return hashlib.sha256((files.local_directory(directory_sha256) / WEIGHTS).read_bytes()).hexdigest()
