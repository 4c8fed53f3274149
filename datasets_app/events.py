"""Names and payloads of what datasets tell the pages."""

from apex.common.events import announce, user_group
from datasets_app.models import DatasetImport


def import_group(import_id) -> str:
    return f"datasets.import.{import_id}"


def import_changed(imported: DatasetImport) -> None:
    """The import's page reads its fragment again; so do the lists of its owner."""
    payload = {"type": "import.changed", "id": str(imported.pk)}
    announce(import_group(imported.pk), payload)
    announce(user_group(imported.owner_id), payload)
