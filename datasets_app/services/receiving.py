"""What comes: written aside within limits, read, kept by hash, and thrown away once nobody needs it."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.files import Stored
from datasets_app.importing import Imported, import_rows
from datasets_app.reading import Report

MEGABYTE = 1024 * 1024


class DatasetRefused(Exception):
    """Nothing usable came. `str()` is one sentence; `faults` are dicts with line, problem, mend, severity, found.

    `report` is the whole report, where a file was read.
    """

    def __init__(self, message: str, faults: list[dict] | None = None, report: Report | None = None) -> None:
        super().__init__(message)
        self.faults = faults or []
        self.report = report


class TooLarge(DatasetRefused):
    """More bytes than the person may bring (`upload_limit`)."""


@dataclass(frozen=True)
class Wishes:
    """How a file is to be read, where its owner says so: the format, the columns (role → name), whether rows with
    errors are left out or refuse the file; and who is told how far it is (0 to 1)."""

    format: str | None = None
    mapping: Mapping[str, str] | None = None
    keep_good_rows: bool = True
    on_progress: Callable[[float], None] | None = None


NO_WISHES = Wishes()


def clean_file_name(name: str) -> str:
    """The last part of a path, without characters that a page or a database would choke on."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(character for character in name if character.isprintable())[:255]


@contextmanager
def brought(
    file: File | Path | None, text: str | None, file_name: str, wishes: Wishes = NO_WISHES, *, limit: int = 0
):
    """What came, read and kept: (imported, the two stored files). The row is to be committed inside.

    A path is a file of our own: it is read where it is, and `limit` (bytes) is not asked.
    """
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        source, rows = Path(folder) / "source", Path(folder) / "rows.jsonl"
        if isinstance(file, Path):
            source = file
        else:
            write_source(source, file, text, limit)
        imported, kept = import_source(source, rows, file_name, wishes)
        try:
            yield imported, kept
        except DatasetRefused:
            delete_unused_files({stored.sha256 for stored in kept})
            raise
        # Before the row was there, somebody may have deleted a set of the same bytes, and with it these files.
        files.put_file(source)
        files.put_file(rows)
        keep_report_of(imported)


def keep_report_of(imported: Imported) -> str:
    """Stores the report on what was read; its hash."""
    return files.put_bytes(imported.reading.report().as_json()).sha256


def upload_limit(user) -> int:
    """The largest file that this person may bring, in bytes."""
    return user.upload_limit_mb * MEGABYTE if user.upload_limit_mb else settings.UPLOAD_LIMIT_BYTES


def write_source(target: Path, file: File | None, text: str | None, limit: int) -> None:
    """Writes what came to `target`; raises TooLarge as soon as it is known to be."""
    written = 0
    with open(target, "wb") as out:
        for chunk in chunks_of(file, text, limit):
            written += len(chunk)
            if written > limit:
                raise too_large(limit)
            out.write(chunk)


def chunks_of(file: File | None, text: str | None, limit: int):
    if file is not None:
        if file.size and file.size > limit:
            raise too_large(limit)
        yield from file.chunks()
    else:
        # A lone surrogate cannot come from a browser, but can from a program; the reader names its line.
        yield (text or "").encode("utf-8", "surrogatepass")


def too_large(limit: int) -> TooLarge:
    """`limit`: in bytes."""
    return TooLarge(
        _("More than %(limit)s MB came; up to %(limit)s MB can be read. Split it, or bring fewer examples.")
        % {"limit": limit // MEGABYTE}
    )


def import_source(
    source: Path, rows: Path, file_name: str, wishes: Wishes
) -> tuple[Imported, tuple[Stored, Stored]]:
    """Reads and splits `source`, and keeps it and its rows. Long work, so it is done before any transaction."""
    imported = import_rows(source, rows, clean_file_name(file_name), **vars(wishes))
    reading = imported.reading
    if reading.refusal is not None:
        faults = [fault.as_dict() for fault in reading.faults]
        raise DatasetRefused(f"{reading.refusal.problem} {reading.refusal.mend}", faults, reading.report())
    return imported, (files.put_file(source), files.put_file(rows))


def delete_unused_files(hashes: set[str]) -> None:
    """Removes stored files that no version refers to any more.

    Somebody may bring the same bytes meanwhile. Whoever does looks after the commit whether they are there
    (`brought`), and here they are put back if such a version is found after the deletion.
    """
    for sha256 in hashes:
        if is_used(sha256):
            continue
        with tempfile.NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as copy:
            try:
                with files.open_stored(sha256) as stored:
                    shutil.copyfileobj(stored, copy)
            except FileNotFoundError:
                continue  # somebody else who deleted the same bytes was first
            copy.flush()
            files.delete_stored(sha256)
            if is_used(sha256):
                files.put_file(Path(copy.name))


def is_used(sha256: str) -> bool:
    """Whether a version that was not erased, an import's report or another room refers to the stored file."""
    return files.is_held(sha256)
