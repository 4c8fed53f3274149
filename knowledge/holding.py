"""Which stored bytes knowledge needs (`apex.common.files.is_held`)."""

from django.db.models import Q

from knowledge.models import Document


def is_held(sha256: str) -> bool:
    """Whether a document has these bytes, as its source or as its text."""
    return Document.objects.filter(Q(source_sha256=sha256) | Q(text_sha256=sha256)).exists()
