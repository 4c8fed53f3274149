"""Imports: queued, cancelled, begun again with named columns or after a crash, and how an upload becomes a version."""

import os
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.core.files.base import File
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.states import move
from datasets_app import events
from datasets_app.models import (
    IMPORT_MOVES,
    Dataset,
    DatasetImport,
    DatasetVersion,
    ImportSource,
    ImportStatus,
)
from datasets_app.parts import part_path
from datasets_app.queueing import send_import
from datasets_app.reading import REJECT, Report

from .bringing import NAME_LENGTH, add_version, create_dataset, free_name
from .receiving import (
    MEGABYTE,
    DatasetRefused,
    Wishes,
    clean_file_name,
    delete_unused_files,
    too_large,
    upload_limit,
    write_source,
)

ENDED_BADLY = (ImportStatus.REFUSED, ImportStatus.CRASHED)


UNDER_WAY = (ImportStatus.RECEIVING, ImportStatus.QUEUED, ImportStatus.CHECKING)


class TooMuchWaiting(DatasetRefused):
    """The person's files that are not done take all the room that one person has."""


class CannotGoAgain(Exception):
    """The bytes are no longer here; `str()` says what to do."""


def next_expiry():
    return timezone.now() + timedelta(hours=settings.UPLOAD_KEEP_HOURS)


def queue_import(*, imported: DatasetImport) -> bool:
    """Lets a worker check it. False if somebody else has queued or cancelled it."""
    with transaction.atomic():
        won = move(
            imported, ImportStatus.QUEUED, moves={ImportStatus.RECEIVING: {ImportStatus.QUEUED}},
            updated_at=timezone.now(), expires_at=None,
        )  # fmt: skip
        if won:
            events.import_changed(imported)
            transaction.on_commit(partial(send_import, imported.pk))
    return won


def cancel_import(*, imported: DatasetImport) -> bool:
    """Ends it and throws its bytes away. False if it had ended."""
    with transaction.atomic():
        won = move(
            imported, ImportStatus.CANCELLED, moves=IMPORT_MOVES,
            expires_at=timezone.now(), message=_("You cancelled it."), updated_at=timezone.now(),
        )  # fmt: skip
        if won:
            events.import_changed(imported)
    if won:
        throw_away_bytes(imported)
    return won


def forget_import(*, imported: DatasetImport) -> None:
    """Removes the row with its bytes and its report; what it became stays. One that is under way is cancelled first."""
    cancel_import(imported=imported)
    throw_away_bytes(imported)
    with transaction.atomic():
        imported.delete()
        if imported.report_sha256:
            transaction.on_commit(partial(delete_unused_files, {imported.report_sha256}))


def throw_away_bytes(imported: DatasetImport) -> None:
    part_path(imported.pk).unlink(missing_ok=True)


def make_room(*, owner, length: int) -> None:
    """Lets go of the oldest files of this person that were refused, as far as `length` more bytes need their room:
    one person holds OPEN_UPLOADS files of the largest size. Raises TooMuchWaiting where those under way fill it."""
    uploads = DatasetImport.objects.for_user(owner).filter(source=ImportSource.UPLOAD)
    most = settings.OPEN_UPLOADS * upload_limit(owner)
    held = length + (uploads.filter(status__in=UNDER_WAY).aggregate(bytes=Sum("length"))["bytes"] or 0)
    if held > most:
        raise TooMuchWaiting(
            _("Your files that are not checked yet take %(held)s MB. Wait for one of them, or cancel one.")
            % {"held": (held - length) // MEGABYTE}
        )
    kept = uploads.filter(status__in=ENDED_BADLY, expires_at__gt=timezone.now())
    for imported in kept.only("length").order_by("-created_at"):
        held += imported.length
        if held > most:
            throw_away_bytes(imported)
            DatasetImport.objects.filter(pk=imported.pk).update(expires_at=timezone.now())


def is_for_a_worker(file: File | None) -> bool:
    """Whether a file that came by a form is too large to be checked while its sender waits."""
    return file is not None and bool(file.size) and file.size > settings.CHECK_AT_ONCE_BYTES


def import_file(
    *, owner, file: File, name: str = "", dataset: Dataset | None = None, next_url: str = ""
) -> DatasetImport:
    """A file that came whole, by a form, for a worker to check. Raises TooLarge, TooMuchWaiting."""
    if file.size > upload_limit(owner):
        raise too_large(upload_limit(owner))
    make_room(owner=owner, length=file.size)
    imported = DatasetImport.objects.create(
        owner=owner,
        source=ImportSource.UPLOAD,
        file_name=clean_file_name(file.name),
        name=name.strip()[:NAME_LENGTH],
        dataset=dataset,
        length=file.size,
        offset=file.size,
        recipe={"next": next_url} if next_url else {},
        expires_at=next_expiry(),
    )
    with open(part_path(imported.pk), "xb") as part:
        for piece in file.chunks():
            part.write(piece)
    queue_import(imported=imported)
    return imported


def keep_for_columns(
    *,
    problem: DatasetRefused,
    owner,
    file: File | None = None,
    text: str | None = None,
    name: str = "",
    dataset: Dataset | None = None,
    next_url: str = "",
) -> DatasetImport | None:
    """A small file that was refused at once, kept with its report so that its columns can be named.

    None where no names of columns were found, so that naming them would not help.
    """
    if problem.report is None or not problem.report.columns:
        return None
    imported = DatasetImport(
        owner=owner,
        source=ImportSource.UPLOAD,
        status=ImportStatus.REFUSED,
        file_name=clean_file_name(file.name) if file else "",
        name=name.strip()[:NAME_LENGTH],
        dataset=dataset,
        recipe={"next": next_url} if next_url else {},
        message=str(problem)[:500],
        expires_at=next_expiry(),
    )
    part = part_path(imported.pk)
    write_source(part, file, text, upload_limit(owner))
    imported.length = imported.offset = part.stat().st_size
    imported.report_sha256 = keep_report(imported, problem)
    imported.save()
    return imported


def import_again(*, imported: DatasetImport, mapping: dict | None = None) -> DatasetImport:
    """The same bytes once more, with the columns that `mapping` names. Raises CannotGoAgain."""
    part = part_path(imported.pk)
    again = DatasetImport(
        owner=imported.owner,
        source=imported.source,
        file_name=imported.file_name,
        name=imported.name,
        dataset=imported.dataset,
        connection=imported.connection,
        length=imported.length,
        offset=imported.offset,
        recipe={key: value for key, value in imported.recipe.items() if key != "tries"},
        mapping=mapping if mapping is not None else imported.mapping,
    )
    if imported.source == ImportSource.UPLOAD:
        try:
            os.link(part, part_path(again.pk))
        except FileNotFoundError as problem:
            raise CannotGoAgain(_("This file is no longer here; bring it once more.")) from problem
    again.save()
    queue_import(imported=again)
    # The earlier one has nothing more to say; the sweep takes its name for the bytes away.
    DatasetImport.objects.filter(pk=imported.pk).update(expires_at=timezone.now())
    return again


def can_go_again(imported: DatasetImport) -> bool:
    if imported.status not in ENDED_BADLY:
        return False
    return imported.source != ImportSource.UPLOAD or part_path(imported.pk).exists()


def run_upload(imported: DatasetImport, report_progress) -> DatasetVersion:
    """The version that an upload becomes. Raises DatasetRefused."""
    source = part_path(imported.pk)
    if not source.exists():
        raise DatasetRefused(_("The file that was sent is no longer here; bring it once more."))
    report_progress(0.0)
    wishes = Wishes(mapping=imported.mapping, on_progress=report_progress)
    if imported.dataset:
        return add_version(dataset=imported.dataset, file=source, file_name=imported.file_name, wishes=wishes)
    # The name was free when the upload began; a set of this name may have come since.
    name = free_name(owner=imported.owner, wanted=imported.name or imported.file_name)
    return create_dataset(
        owner=imported.owner, name=name, file=source, file_name=imported.file_name, wishes=wishes
    )


def keep_report(imported: DatasetImport, problem: DatasetRefused) -> str:
    """Stores why nothing could be made, as JSON; returns its hash."""
    report = problem.report or Report(imported.file_name, REJECT, errors=problem.faults or [told(problem)])
    return files.put_bytes(report.as_json()).sha256


def told(problem: DatasetRefused) -> dict:
    """A refusal that is about no line of a file, as a report lists it."""
    return {
        "line": None,
        "message": str(problem),
        "problem": str(problem),
        "mend": "",
        "found": "",
        "code": "",
    }


def take_back(version: DatasetVersion, *, with_dataset: bool) -> None:
    """Removes a version that was made for an import that was cancelled meanwhile."""
    hashes = {version.source_sha256, version.rows_sha256, version.report_sha256} - {""}
    with transaction.atomic():
        if with_dataset:
            version.dataset.delete()
        else:
            version.delete()
        transaction.on_commit(partial(delete_unused_files, hashes))
