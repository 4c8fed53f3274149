"""Brings datasets in, renames and deletes them."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apex.common import files, names
from apex.common.files import Stored
from datasets_app.importing import Imported, import_rows
from datasets_app.models import Dataset, DatasetVersion, MadeBy
from datasets_app.reading import REJECT, WARN, Report

NAME_LENGTH = 120


@dataclass(frozen=True)
class Wishes:
    """How a file is to be read, where its owner says so: the format, the columns (role → name), whether rows with
    errors are left out or refuse the file; and who is told how far it is (0 to 1)."""

    format: str | None = None
    mapping: Mapping[str, str] | None = None
    keep_good_rows: bool = True
    on_progress: Callable[[float], None] | None = None


NO_WISHES = Wishes()
MEGABYTE = 1024 * 1024
KNOWN_ENDINGS = {".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt"}
DEMO_DIR = settings.BASE_DIR / "datasets_app" / "demo"


class DatasetRefused(Exception):
    """Nothing usable came. `str()` is one sentence; `faults` are dicts with line, problem, mend, severity, found.

    `report` is the whole report, where a file was read.
    """

    def __init__(self, message: str, faults: list[dict] | None = None, report: Report | None = None) -> None:
        super().__init__(message)
        self.faults = faults or []
        self.report = report


class NameTaken(DatasetRefused):
    """The owner has a dataset of this name."""


class TooLarge(DatasetRefused):
    """More bytes than the person may bring (`upload_limit`)."""


def free_name(*, owner, wanted: str) -> str:
    """`wanted` without a file's ending, made unlike the names that the owner has."""
    stem = clean_file_name(wanted)
    if Path(stem).suffix.lower() in KNOWN_ENDINGS:
        stem = Path(stem).stem
    stem = stem.strip()[: NAME_LENGTH - 5] or _("Examples")
    taken = set(Dataset.objects.for_user(owner).filter(name__startswith=stem).values_list("name", flat=True))
    return names.free_name(stem, taken)


def clean_file_name(name: str) -> str:
    """The last part of a path, without characters that a page or a database would choke on."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(character for character in name if character.isprintable())[:255]


def create_dataset(
    *,
    owner,
    name: str,
    file: File | Path | None = None,
    text: str | None = None,
    file_name: str = "",
    made_by: str | None = None,
    description: str = "",
    wishes: Wishes = NO_WISHES,
) -> DatasetVersion:
    """A new dataset with its first version, from a file or from text that was typed or pasted.

    Raises DatasetRefused when nothing in it can be used, NameTaken, TooLarge.
    """
    name = name.strip()[:NAME_LENGTH]
    if not name:
        raise NameTaken(_("The set needs a name."))
    if Dataset.objects.for_user(owner).filter(name=name).exists():
        raise name_taken(name)
    with brought(file, text, file_name, wishes, limit=upload_limit(owner)) as (imported, kept):
        return add_dataset(owner, name, description, imported, kept, made_by or how(file))


def add_version(
    *,
    dataset: Dataset,
    file: File | Path | None = None,
    text: str | None = None,
    file_name: str = "",
    made_by: str | None = None,
    wishes: Wishes = NO_WISHES,
) -> DatasetVersion:
    """The next version of a dataset; the earlier ones stay as they are. Raises DatasetRefused, TooLarge."""
    limit = upload_limit(dataset.owner)
    with brought(file, text, file_name, wishes, limit=limit) as (imported, kept), transaction.atomic():
        dataset = locked(dataset.pk)
        parent = dataset.latest
        if parent and parent.source_sha256 == imported.source_sha256:
            message = _("This is the very file of version %(number)s.") % {"number": parent.number}
            raise DatasetRefused(message)
        return add_row(dataset, imported, kept, made_by or how(file), parent)


def locked(dataset_id) -> Dataset:
    """The set, held until the transaction ends: of two versions at once, the second waits for its number.

    Raises DatasetRefused where it was deleted meanwhile.
    """
    dataset = Dataset.objects.select_for_update().filter(pk=dataset_id, erased_at=None).first()
    if dataset is None:
        raise DatasetRefused(_("The set was deleted meanwhile, so nothing was kept."))
    return dataset


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


def verdict_of(report: Report) -> str:
    """The verdict on what was kept: a row that was left out is a warning about the version, not a refusal of it."""
    return WARN if report.verdict == REJECT else report.verdict


def how(file: File | Path | None) -> str:
    return MadeBy.UPLOAD if file is not None else MadeBy.TYPED


def name_taken(name: str) -> NameTaken:
    return NameTaken(_("You already have a set named “%(name)s”. Choose another name.") % {"name": name})


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


def add_dataset(
    owner, name: str, description: str, imported: Imported, kept: tuple[Stored, Stored], made_by: str
) -> DatasetVersion:
    """A dataset and its first version. Raises NameTaken."""
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(owner=owner, name=name, description=description)
            return add_row(dataset, imported, kept, made_by, None)
    except IntegrityError as problem:
        raise name_taken(name) from problem


def add_row(
    dataset: Dataset,
    imported: Imported,
    kept: tuple[Stored, Stored],
    made_by: str,
    parent: DatasetVersion | None,
) -> DatasetVersion:
    """Writes the version's row; runs inside the caller's transaction."""
    reading = imported.reading
    report = reading.report()
    source, rows = kept
    last = dataset.versions.aggregate(last=Max("number"))["last"] or 0
    return DatasetVersion.objects.create(
        owner_id=dataset.owner_id,
        dataset=dataset,
        number=last + 1,
        parent=parent,
        made_by=made_by,
        made_from={"left_out": reading.left_out, "warnings": reading.fault_count - reading.left_out},
        kind=reading.kind,
        verdict=verdict_of(report),
        report_sha256=keep_report_of(imported),
        profile=report.profile,
        file_name=reading.file_name,
        file_bytes=source.size,
        format=reading.format,
        source_sha256=source.sha256,
        rows_sha256=rows.sha256,
        row_count=imported.row_count,
        train_count=imported.train_count,
        held_out_count=imported.held_out_count,
        conversation_count=imported.conversation_count,
        held_out_conversation_count=imported.held_out_conversation_count,
        skipped=dict(reading.skipped),
        faults=[fault.as_dict() for fault in reading.faults],
        fault_count=reading.fault_count,
    )


def demo_dataset(*, owner) -> DatasetVersion:
    """The example set that comes with Apex: made once per owner, and reused after."""
    path = next(iter(sorted(DEMO_DIR.glob("*.jsonl"))), None)
    if path is None:
        raise DatasetRefused(_("The example set is not on this machine (%(place)s).") % {"place": DEMO_DIR})
    made = DatasetVersion.objects.for_user(owner).filter(made_by=MadeBy.DEMO).order_by("-number")
    if found := made.first():
        return found
    with brought(path, None, path.name) as (imported, kept), transaction.atomic():
        # Two clicks at once make one set: the second waits for the first.
        get_user_model().objects.select_for_update().get(pk=owner.pk)
        if found := made.all().first():
            return found
        name = free_name(owner=owner, wanted=_("Harbour guide"))
        description = _("Short questions, answered by a friendly harbour guide: our example set")
        return add_dataset(owner, name, description, imported, kept, MadeBy.DEMO)


def rename_dataset(*, dataset: Dataset, name: str, description: str | None = None) -> Dataset:
    """Gives a dataset another name. Raises NameTaken."""
    dataset.name = name.strip()[:NAME_LENGTH]
    if not dataset.name:
        raise NameTaken(_("The set needs a name."))
    if description is not None:
        dataset.description = description.strip()
    try:
        with transaction.atomic():
            dataset.save(update_fields=["name", "description"])
    except IntegrityError as problem:
        taken = name_taken(dataset.name)
        dataset.refresh_from_db()
        raise taken from problem
    return dataset


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
