"""Where the bytes of an upload lie until they are checked: one part file an import, in the upload folder."""

from pathlib import Path

from django.conf import settings

ENDING = ".part"


def part_path(import_id) -> Path:
    return Path(settings.FILE_UPLOAD_TEMP_DIR) / f"{import_id}{ENDING}"
