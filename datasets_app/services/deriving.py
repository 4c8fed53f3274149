"""New versions from old ones. Whatever makes the rows, this writes them."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.files import Stored
from datasets_app import importing
from datasets_app.deriving.rechecking import FAULTS_KEPT, Rechecking
from datasets_app.deriving.rows import BadRows, Written, digest_of, verified, with_origin, write_rows
from datasets_app.models import DatasetVersion

from .bringing import locked
from .receiving import DatasetRefused, delete_unused_files


class CannotDerive(DatasetRefused):
    """No new version can be made of this one; `str()` says why and what to do."""


def stored_rows(version: DatasetVersion) -> Iterator[dict[str, Any]]:
    """The rows of a version, one at a time, each with its origin. Raises CannotDerive at once where none are kept."""
    if version.erased_at:
        message = _("Version %(number)s was erased, so there are no rows to work with.")
        raise CannotDerive(message % {"number": version.number})
    if not version.rows_sha256:
        message = _(
            "Version %(number)s is a reference: its rows are not kept here. Bring the file as an upload, then change "
            "that."
        )
        raise CannotDerive(message % {"number": version.number})
    return with_origin(importing.iterate_rows(files.local_path(version.rows_sha256)), version.pk)


def derive_version(
    *,
    version: DatasetVersion,
    rows: Iterable[dict[str, Any]],
    made_by: str,
    made_from: dict[str, Any] | Callable[[], dict[str, Any]],
    parents: Iterable[DatasetVersion] = (),
) -> DatasetVersion:
    """The next version of `version.dataset`, holding `rows`, whose parent is `version`.

    `rows` are complete rows (docs/architecture.md, "Rows") and are read once, one at a time; `stored_rows` gives
    those of a version. `made_from` says how it was made, in JSON, or is a function that says it once the rows are
    read; `parents` are the other versions that it was merged from. Raises CannotDerive when no row is left, when a
    row is none of this kind, when the new version would hold what `version` holds, and when one that it is made of
    was erased meanwhile.
    """
    stored_rows(version)
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        target = Path(folder) / "rows.jsonl"
        checked = Rechecking(verified(rows, version.kind), version.kind)
        try:
            written = write_rows(checked, target)
        except BadRows as problem:
            raise CannotDerive(str(problem)) from problem
        refuse_useless(version, written)
        kept = files.put_file(target)
        report = checked.report(version.file_name, version.format).as_json()
        report_sha256 = files.put_bytes(report).sha256
        parents = list(parents)
        with removed_if_refused({kept.sha256, report_sha256}), transaction.atomic():
            refuse_erased([version, *parents])
            told = made_from() if callable(made_from) else made_from
            made = add_derived_row(version, made_by, told, written, checked, kept, report_sha256)
            made.merged_from.set(parents)
        # Before the row was there, somebody may have deleted a set of the same bytes, and with it these files.
        files.put_file(target)
        files.put_bytes(report)
    return made


@contextmanager
def removed_if_refused(hashes: set[str]):
    """Files that were stored for a version that then may not be do not stay."""
    try:
        yield
    except DatasetRefused:
        delete_unused_files(hashes)
        raise


def refuse_erased(versions: list[DatasetVersion]) -> None:
    """Raises CannotDerive when one of them was erased while its rows were read; else it is not before the
    transaction ends."""
    wanted = {each.pk for each in versions}
    held = DatasetVersion.objects.present().select_for_update().filter(pk__in=wanted).order_by("number")
    if set(held.values_list("pk", flat=True)) != wanted:
        raise CannotDerive(_("What this was to be made of was erased meanwhile, so nothing was kept."))


def refuse_useless(version: DatasetVersion, written: Written) -> None:
    """Raises CannotDerive when nothing is left, or nothing has changed."""
    if not written.row_count:
        raise CannotDerive(_("No row would be left. Choose less to leave out."))
    counts = (written.train_count, written.held_out_count, written.conversation_count)
    if counts != (version.train_count, version.held_out_count, version.conversation_count):
        return
    if digest_of(stored_rows(version)) == written.digest:
        message = _("This changes nothing: version %(number)s holds the very same rows.")
        raise CannotDerive(message % {"number": version.number})


def add_derived_row(
    version: DatasetVersion,
    made_by: str,
    made_from: dict[str, Any],
    written: Written,
    checked: Rechecking,
    kept: Stored,
    report_sha256: str,
) -> DatasetVersion:
    """Writes the row of the new version; runs inside the caller's transaction."""
    dataset = locked(version.dataset_id)
    last = dataset.versions.aggregate(last=Max("number"))["last"] or 0
    return DatasetVersion.objects.create(
        owner_id=dataset.owner_id,
        dataset=dataset,
        number=last + 1,
        parent=version,
        made_by=made_by,
        made_from={
            **made_from,
            "version": version.number,
            "rows_before": version.row_count,
            "warnings": checked.fault_count,
        },
        kind=version.kind,
        verdict=checked.verdict,
        file_name=version.file_name,
        file_bytes=kept.size,
        format=version.format,
        rows_sha256=kept.sha256,
        report_sha256=report_sha256,
        row_count=written.row_count,
        train_count=written.train_count,
        held_out_count=written.held_out_count,
        conversation_count=written.conversation_count,
        held_out_conversation_count=len(written.held_out),
        faults=[fault.as_dict() for fault in checked.faults[:FAULTS_KEPT]],
        fault_count=checked.fault_count,
        profile=checked.profile,
    )
