"""Which stored bytes datasets need (`apex.common.files.is_held`)."""

from django.db.models import Q

from datasets_app.models import DatasetImport, DatasetVersion


def is_held(sha256: str) -> bool:
    """Whether a version that was not erased, or an import's report, has these bytes."""
    versions = DatasetVersion.objects.present().filter(
        Q(source_sha256=sha256) | Q(rows_sha256=sha256) | Q(report_sha256=sha256)
    )
    return versions.exists() or DatasetImport.objects.filter(report_sha256=sha256).exists()
