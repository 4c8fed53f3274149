"""Imports as the pages show them."""

import msgspec
from django.db.models import Q
from django.utils import timezone

from apex.common import files
from datasets_app.models import DatasetImport, ImportStatus

UNDER_WAY = (ImportStatus.RECEIVING, ImportStatus.QUEUED, ImportStatus.CHECKING)
SHOWN = 10


def imports_for_list(user):
    """All imports of a person, newest first."""
    return DatasetImport.objects.for_user(user).select_related("dataset", "version").order_by("-created_at")


def imports_to_show(user):
    """The newest that are under way, or ended badly and can still be mended from the bytes that are kept."""
    badly = Q(status__in=(ImportStatus.REFUSED, ImportStatus.CRASHED), expires_at__gt=timezone.now())
    return imports_for_list(user).filter(Q(status__in=UNDER_WAY) | badly)[:SHOWN]


def report_of(imported: DatasetImport) -> dict:
    """The report as it was stored; {} where there is none."""
    if not imported.report_sha256:
        return {}
    with files.open_stored(imported.report_sha256) as stored:
        return msgspec.json.decode(stored.read())
