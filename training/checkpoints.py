"""Which checkpoints of a job are kept, and what of their bytes goes. The files are dealt with in `training.keeping`."""

from collections.abc import Iterable

from apex.common import files
from training.models import Adapter, Attempt, Checkpoint, TrainingJob

NEWEST = 2  # kept beside the best one: if the last cannot be read, the one before is used


def delete_unused(hashes: Iterable[str]) -> None:
    """Removes the stored bytes that no adapter, no checkpoint and no attempt at work needs any more."""
    for sha256 in set(hashes):
        if not sha256 or is_used(sha256):
            continue
        files.delete_stored(sha256)


def is_used(sha256: str) -> bool:
    return (
        Adapter.objects.filter(directory_sha256=sha256).exists()
        or Checkpoint.objects.filter(directory_sha256=sha256).exists()
        or Attempt.objects.open().filter(storing_sha256=sha256).exists()
    )


def newest_good(job: TrainingJob) -> Checkpoint | None:
    """The one to go on from."""
    return job.checkpoints.filter(is_damaged=False).order_by("-step").first()


def prune(job: TrainingJob) -> int:
    """Deletes what nobody goes on from: all but the newest two and the best one. Returns how many went.

    Their bytes go with the rows (`training.signals`). What was kept as an adapter has files of its own.
    """
    rows = job.checkpoints.order_by("-step")
    good = [row for row in rows if not row.is_damaged]
    keep = {row.pk for row in good[:NEWEST]}
    keep |= {row.pk for row in good if row.is_best}
    # A damaged one is shown until a newer whole one is there.
    keep |= {row.pk for row in rows if row.is_damaged and (not good or row.step > good[0].step)}
    gone = [row for row in rows if row.pk not in keep]
    Checkpoint.objects.filter(pk__in=[row.pk for row in gone]).delete()
    return len(gone)
