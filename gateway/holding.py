"""Which stored bytes the gateway needs (`apex.common.files.is_held`)."""

from gateway.models import BATCH_UNFINISHED, ApiFile, Batch


def is_held(sha256: str) -> bool:
    """Whether a file of the API has these bytes, or a batch at work reads them. What was erased is not held."""
    return (
        ApiFile.objects.present().filter(sha256=sha256).exists()
        or Batch.objects.filter(input_sha256=sha256, status__in=BATCH_UNFINISHED).exists()
    )
