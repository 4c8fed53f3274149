"""Which stored bytes training needs (`apex.common.files.is_held`)."""

from training.models import Adapter, Attempt, Checkpoint


def is_held(sha256: str) -> bool:
    """Whether an adapter, a checkpoint, or one that is being stored has these bytes."""
    return (
        Adapter.objects.filter(directory_sha256=sha256).exists()
        or Checkpoint.objects.filter(directory_sha256=sha256).exists()
        or Attempt.objects.open().filter(storing_sha256=sha256).exists()
    )
