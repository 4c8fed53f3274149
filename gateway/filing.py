"""Files of the OpenAI-compatible surface: kept as they came, and made datasets where they are to be learned from."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import files as stored_files
from audit.models import Act
from audit.services import record_act
from datasets_app import services as datasets
from datasets_app.models import DatasetVersion, ImportStatus
from datasets_app.services.receiving import clean_file_name
from gateway.models import ApiFile, FilePurpose, FineTune
from training import checkpoints

# What a program may send; the others are made here.
SENT = (
    FilePurpose.FINE_TUNE, FilePurpose.BATCH, FilePurpose.ASSISTANTS, FilePurpose.VISION, FilePurpose.USER_DATA,
    FilePurpose.EVALS,
)  # fmt: skip
FAULTS_TOLD = 3


def keep_upload(*, owner, upload: File, purpose: str, expires_seconds: int | None = None) -> ApiFile:
    """Keeps what a program sent. One to learn from becomes a dataset, a large one by a worker.

    What cannot be learned from is kept too, with its `problem`. Raises `datasets.TooLarge` and
    `datasets.TooMuchWaiting`.
    """
    if upload.size and upload.size > datasets.upload_limit(owner):
        raise datasets.too_large(datasets.upload_limit(owner))
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = Path(folder) / "file"
        with open(path, "wb") as out:
            for piece in upload.chunks():
                out.write(piece)
        brought = None
        if purpose == FilePurpose.FINE_TUNE and datasets.is_for_a_worker(upload):
            upload.seek(0)
            brought = datasets.import_file(owner=owner, file=upload, name=name_of(upload.name))
        return keep_path(
            owner=owner, path=path, file_name=upload.name or "", purpose=purpose,
            expires_seconds=expires_seconds, brought_by=brought,
        )  # fmt: skip


def keep_path(
    *, owner, path: Path, file_name: str, purpose: str, expires_seconds: int | None = None, brought_by=None
) -> ApiFile:
    """Keeps a file that is on this machine; the same bytes for learning are the same dataset."""
    stored = stored_files.put_file(path)
    file = ApiFile(
        owner=owner,
        file_name=name_of(file_name),
        purpose=purpose,
        sha256=stored.sha256,
        size=stored.size,
        brought_by=brought_by,
        expires_at=timezone.now() + timedelta(seconds=expires_seconds) if expires_seconds else None,
    )
    if purpose == FilePurpose.FINE_TUNE and brought_by is None:
        make_dataset(file, path)
    file.save()
    # Before its row was there, somebody may have deleted a set of the same bytes, and with it these.
    stored_files.put_file(path)
    return file


def name_of(file_name: str | None) -> str:
    return clean_file_name(file_name or "") or "file"


def make_dataset(file: ApiFile, path: Path) -> None:
    """Lets `file` name the version that its bytes are, or say why they are none."""
    if known := known_version(file):
        file.version = known
        return
    try:
        file.version = new_dataset(file, path)
    except datasets.DatasetRefused as problem:
        file.problem = words_of(problem)


def known_version(file: ApiFile) -> DatasetVersion | None:
    """What the same bytes of the same owner became before."""
    before = ApiFile.objects.for_user(file.owner).filter(sha256=file.sha256, purpose=FilePurpose.FINE_TUNE)
    found = before.exclude(version=None).select_related("version").order_by("created_at").first()
    return found.version if found else None


def new_dataset(file: ApiFile, path: Path) -> DatasetVersion:
    while True:
        name = datasets.free_name(owner=file.owner, wanted=file.file_name)
        try:
            return datasets.create_dataset(owner=file.owner, name=name, file=path, file_name=file.file_name)
        except datasets.NameTaken:  # somebody took it in the same moment; the next name is free
            continue


def words_of(problem: datasets.DatasetRefused) -> str:
    """A refusal with the first faults, each with its line."""
    told = [
        f"Line {fault['line']}: {fault['problem']}" for fault in problem.faults[:FAULTS_TOLD] if fault["line"]
    ]
    return " ".join([str(problem), *told])


def settle(file: ApiFile) -> ApiFile:
    """Takes over what a worker has made of the file by now."""
    imported = file.brought_by
    if file.purpose != FilePurpose.FINE_TUNE or file.version_id or file.problem or file.is_being_read:
        return file
    if imported is not None and imported.status == ImportStatus.DONE and imported.version_id:
        file.version_id = imported.version_id
    else:
        file.problem = (imported.message if imported else "") or _(
            "Reading it was cancelled; send the file again."
        )
    ApiFile.objects.filter(pk=file.pk).update(version_id=file.version_id, problem=file.problem)
    return file


@transaction.atomic
def delete_file(*, file: ApiFile) -> None:
    """Removes a file, and erases what was made of it here. Raises `datasets.DatasetInUse` while a training needs it."""
    made = versions_of(file)
    record_act(Act.DELETED, subject=file)
    ApiFile.objects.filter(pk=file.pk).delete()
    for version in made:
        if not ApiFile.objects.filter(version=version).exists():
            erase(version)
    if file.brought_by and file.is_being_read:
        datasets.cancel_import(imported=file.brought_by)
    transaction.on_commit(partial(drop_bytes, file.sha256))


def versions_of(file: ApiFile) -> list[DatasetVersion]:
    """The version that it became, and those in which it was put together with another file for a training."""
    tunes = FineTune.objects.for_user(file.owner).exclude(dataset_version=None)
    put_together = tunes.filter(training_file=file.public_id) | tunes.filter(validation_file=file.public_id)
    keys = {file.version_id, *put_together.values_list("dataset_version_id", flat=True)} - {None}
    return list(DatasetVersion.objects.for_user(file.owner).filter(pk__in=keys).select_related("dataset"))


def erase(version: DatasetVersion) -> None:
    """The last version takes its dataset with it."""
    others = version.dataset.versions.present().exclude(pk=version.pk)
    if others.exists():
        datasets.delete_version(version=version)
    else:
        datasets.delete_dataset(dataset=version.dataset)


def drop_bytes(sha256: str) -> None:
    """Removes stored bytes that nothing here needs any more."""
    if not checkpoints.is_used(sha256):
        datasets.delete_unused_files({sha256})


def delete_expired() -> int:
    """Removes files whose time is over; one that a training needs stays until that has ended. Returns how many.

    Those whose dataset was erased go as well: their bytes went with it.
    """
    gone, _rows = ApiFile.objects.filter(version__erased_at__isnull=False).delete()
    for file in ApiFile.objects.filter(expires_at__lte=timezone.now()).select_related("brought_by"):
        try:
            delete_file(file=file)
            gone += 1
        except datasets.DatasetInUse:
            continue
    return gone
