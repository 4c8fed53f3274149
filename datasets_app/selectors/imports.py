"""Imports as the pages show them."""

import msgspec

from apex.common import files
from datasets_app.models import DatasetImport, ImportStatus

UNDER_WAY = (ImportStatus.RECEIVING, ImportStatus.QUEUED, ImportStatus.CHECKING)
SHOWN = 10


def imports_for_list(user):
    """All imports of a person, newest first."""
    return DatasetImport.objects.for_user(user).select_related("dataset", "version").order_by("-created_at")


def imports_under_way(user):
    """The newest that are neither ended nor cancelled."""
    return imports_for_list(user).filter(status__in=UNDER_WAY)[:SHOWN]


def report_of(imported: DatasetImport) -> dict:
    """The report as it was stored; {} where there is none."""
    if not imported.report_sha256:
        return {}
    with files.open_stored(imported.report_sha256) as stored:
        return msgspec.json.decode(stored.read())
