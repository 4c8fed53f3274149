"""What is said of files: a check that keeps nothing, and the good rows of what was kept."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from django.conf import settings
from django.core.files.base import File
from django.utils.translation import gettext as _

from apex.common import files
from datasets_app.importing import iterate_rows
from datasets_app.models import DatasetVersion
from datasets_app.reading import Report, check_file

from .receiving import NO_WISHES, DatasetRefused, Wishes, clean_file_name, upload_limit, write_source

# What a row tells of its place in the file, which a copy is no longer part of.
PLACES = ("line", "origin")


class NoRowsHere(DatasetRefused):
    """The rows of the version are not kept here."""


def check_brought(
    *,
    owner,
    file: File | None = None,
    text: str | None = None,
    file_name: str = "",
    wishes: Wishes = NO_WISHES,
) -> Report:
    """The report on a file or a text; nothing of it is kept. Raises TooLarge."""
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        source = Path(folder) / "source"
        write_source(source, file, text, upload_limit(owner))
        return check_file(source, clean_file_name(file_name), format=wishes.format, mapping=wishes.mapping)


def good_rows(*, version: DatasetVersion) -> Iterator[bytes]:
    """The rows that were kept, as lines of JSON that read in again give the same rows. Raises NoRowsHere."""
    if not version.rows_sha256:
        raise NoRowsHere(
            _("The rows of this version are not kept here; they are read where the reference points to.")
        )
    return lines_of(files.local_path(version.rows_sha256))


def lines_of(path: Path) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for row in iterate_rows(path):
        for name in PLACES:
            row.pop(name, None)
        yield encode(row) + b"\n"
