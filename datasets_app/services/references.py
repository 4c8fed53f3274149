"""References: data that stays where it is. An address is checked like a file, and only what was found is kept."""

from collections.abc import Callable

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.fetch import shown
from datasets_app.checking import checks_for
from datasets_app.models import (
    Connection,
    Dataset,
    DatasetImport,
    DatasetVersion,
    ImportSource,
    MadeBy,
    Reference,
)
from datasets_app.reading import Reading, read_examples
from datasets_app.reference_rows import raise_failure, source_of
from datasets_app.sources import Source, SourceError, State
from datasets_app.streamed_split import HELD_OUT, SplitRefused, SplitRule, StreamedSplit

from .bringing import NAME_LENGTH, free_name, locked, name_taken, verdict_of
from .imports import queue_import
from .receiving import DatasetRefused, clean_file_name


class ReferenceRefused(DatasetRefused):
    """It is no address that can be read, or its connection does not fit. `field` names what to change."""

    def __init__(self, message: str, field: str = "uri") -> None:
        super().__init__(message)
        self.field = field


def refer(
    *,
    owner,
    uri: str,
    connection: Connection | None = None,
    name: str = "",
    description: str = "",
    dataset: Dataset | None = None,
    format: str | None = None,
    mapping: dict | None = None,
) -> DatasetImport:
    """Lets a worker check what is at `uri`: a new set, or the next version of `dataset`.

    Raises ReferenceRefused, NameTaken. Asks nobody yet: whether something is there, the import says.
    """
    uri = uri.strip()
    try:
        source = source_of(uri, connection)
    except SourceError as problem:
        raise ReferenceRefused(str(problem)) from problem
    name = name.strip()[:NAME_LENGTH]
    if name and dataset is None and Dataset.objects.for_user(owner).filter(name=name).exists():
        raise name_taken(name)
    imported = DatasetImport.objects.create(
        owner=owner,
        source=ImportSource.REFERENCE,
        name=name,
        dataset=dataset,
        connection=connection,
        file_name=clean_file_name(source.name),
        recipe={"uri": uri, "description": description, "format": format},
        mapping=mapping or {},
    )
    queue_import(imported=imported)
    return imported


def check_again(*, version: DatasetVersion) -> DatasetImport:
    """The same address once more; what is there now becomes the next version."""
    reference = version.reference
    return refer(
        owner=version.owner,
        uri=reference.uri,
        connection=reference.connection,
        dataset=version.dataset,
        format=version.made_from.get("format"),
        mapping=version.made_from.get("mapping"),
    )


def import_reference(imported: DatasetImport, report_progress: Callable[[float], None]) -> DatasetVersion:
    """The version that a reference becomes: read through once in flat memory, nothing of it kept.

    Raises DatasetRefused when it cannot be had or holds nothing usable.
    """
    try:
        source = source_of(imported.recipe["uri"], imported.connection)
        source.on_progress = report_progress
        state = source.state()
        split = StreamedSplit()
        reading = reading_of(imported, source, checks=checks_for(state.size, source.name))
        for row in reading:
            split.add(row["conversation"], row["split"])
        raise_failure(source)
        if reading.refusal is not None:
            raise DatasetRefused(
                f"{reading.refusal.problem} {reading.refusal.mend}",
                [fault.as_dict() for fault in reading.faults],
                reading.report(),
            )
        rule = split.rule()
        held_out = split.held_out_rows(rule)
        if held_out is None:
            held_out = count_held_out(imported, source, rule)
        sha256 = source.hash()
    except (SourceError, SplitRefused) as problem:
        raise DatasetRefused(str(problem)) from problem
    return keep_reference(imported, state, sha256, reading, split, rule, held_out)


def reading_of(imported: DatasetImport, source: Source, *, checks=None) -> Reading:
    return read_examples(
        source,
        imported.file_name,
        format=imported.recipe.get("format"),
        mapping=imported.mapping or None,
        checks=checks,
    )


def count_held_out(imported: DatasetImport, source: Source, rule: SplitRule) -> int:
    """Reads it once more: some conversations stand on both sides, and their rows were not counted apart."""
    rows = reading_of(imported, source)
    return sum(rule.side(row["conversation"], row["split"]) == HELD_OUT for row in rows)


def keep_reference(
    imported: DatasetImport,
    state: State,
    sha256: str,
    reading: Reading,
    split: StreamedSplit,
    rule: SplitRule,
    held_out: int,
) -> DatasetVersion:
    """Writes what was found."""
    report = reading.report()
    report_sha256 = files.put_bytes(report.as_json()).sha256
    uri = imported.recipe["uri"]
    try:
        with transaction.atomic():
            dataset = dataset_for(imported)
            parent = dataset.latest
            if is_the_same(parent, uri, sha256):
                raise DatasetRefused(
                    _("Nothing has changed there: these are the very bytes of version %(number)s.")
                    % {"number": parent.number}
                )
            reference = Reference.objects.create(
                owner=imported.owner,
                uri=uri,
                connection=imported.connection,
                etag=state.mark,
                size=state.size,
                sha256=sha256,
                format=reading.format,
            )
            version = DatasetVersion.objects.create(
                owner=imported.owner,
                dataset=dataset,
                number=(dataset.versions.aggregate(last=Max("number"))["last"] or 0) + 1,
                parent=parent,
                made_by=MadeBy.REFERENCE,
                made_from={
                    "uri": shown(uri),
                    "version": state.version,
                    "left_out": reading.left_out,
                    "warnings": reading.fault_count - reading.left_out,
                    "format": imported.recipe.get("format"),
                    "mapping": imported.mapping or None,
                    "split": rule.as_dict(),
                },
                reference=reference,
                kind=reading.kind,
                verdict=verdict_of(report),
                file_name=imported.file_name,
                file_bytes=state.size or 0,
                format=reading.format,
                report_sha256=report_sha256,
                profile=report.profile,
                row_count=split.row_count,
                train_count=split.row_count - held_out,
                held_out_count=held_out,
                conversation_count=split.everything.count(),
                held_out_conversation_count=split.held_out_conversations(rule),
                skipped=dict(reading.skipped),
                faults=[fault.as_dict() for fault in reading.faults],
                fault_count=reading.fault_count,
            )
    except IntegrityError as problem:
        raise name_taken(imported.name) from problem
    # Before the row was there, somebody may have deleted a set with the same report.
    files.put_bytes(report.as_json())
    return version


def dataset_for(imported: DatasetImport) -> Dataset:
    """The set that it belongs to, new or locked; runs inside the caller's transaction."""
    if imported.dataset_id:
        return locked(imported.dataset_id)
    name = free_name(owner=imported.owner, wanted=imported.name or imported.file_name)
    return Dataset.objects.create(
        owner=imported.owner, name=name, description=imported.recipe.get("description", "")
    )


def is_the_same(parent: DatasetVersion | None, uri: str, sha256: str) -> bool:
    if parent is None or parent.reference is None:
        return False
    return parent.reference.sha256 == sha256 and parent.reference.uri == uri
