"""Which stored bytes serving needs (`apex.common.files.is_held`)."""

from serving.exports.models import Export


def is_held(sha256: str) -> bool:
    """Whether an export that can be downloaded has these bytes."""
    return Export.objects.filter(sha256=sha256).exists()
