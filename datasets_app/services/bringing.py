"""Brings datasets in, renames and deletes them."""

from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apex.common import names
from apex.common.files import Stored
from datasets_app.importing import Imported
from datasets_app.models import Dataset, DatasetVersion, MadeBy
from datasets_app.reading import REJECT, WARN, Report
from datasets_app.services.receiving import (
    NO_WISHES,
    DatasetRefused,
    Wishes,
    brought,
    clean_file_name,
    keep_report_of,
    upload_limit,
)

NAME_LENGTH = 120


KNOWN_ENDINGS = {".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt"}
DEMO_DIR = settings.BASE_DIR / "datasets_app" / "demo"


class NameTaken(DatasetRefused):
    """The owner has a dataset of this name."""


def free_name(*, owner, wanted: str) -> str:
    """`wanted` without a file's ending, made unlike the names that the owner has."""
    stem = clean_file_name(wanted)
    if Path(stem).suffix.lower() in KNOWN_ENDINGS:
        stem = Path(stem).stem
    stem = stem.strip()[: NAME_LENGTH - 5] or _("Examples")
    taken = set(Dataset.objects.for_user(owner).filter(name__startswith=stem).values_list("name", flat=True))
    return names.free_name(stem, taken)


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


def verdict_of(report: Report) -> str:
    """The verdict on what was kept: a row that was left out is a warning about the version, not a refusal of it."""
    return WARN if report.verdict == REJECT else report.verdict


def how(file: File | Path | None) -> str:
    return MadeBy.UPLOAD if file is not None else MadeBy.TYPED


def name_taken(name: str) -> NameTaken:
    return NameTaken(_("You already have a set named “%(name)s”. Choose another name.") % {"name": name})


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
