"""Erases datasets and versions: files, copies of rows and reports go; a mark stays for what learned from them."""

from functools import partial

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import ngettext

from audit.models import Act
from audit.services import record_act
from datasets_app.curation.row_index import RowIndex
from datasets_app.learners import forget_versions, learners_of
from datasets_app.models import Dataset, DatasetImport, DatasetVersion, Reference, Review, ShareLink
from datasets_app.parts import part_path
from datasets_app.selectors.erasing import hashes_of

from .receiving import delete_unused_files


class DatasetInUse(Exception):
    """A training that waits or runs needs the rows, so they cannot go; `str()` names it."""


# What of a version's row stays as a mark: that it was there, how many rows it had, and its hashes.
MARK = {
    "file_name": "",
    "made_from": {},
    "report_sha256": "",
    "skipped": {},
    "faults": [],
    "profile": {},
}


def delete_dataset(*, dataset: Dataset) -> None:
    """Erases all versions, their files and all that was said of their rows.

    Nothing is left, unless something learned from it: then dataset and versions stay as marks that say when they
    were erased. Raises DatasetInUse while a training that waits or runs needs them.
    """
    with transaction.atomic():
        versions = list(dataset.versions.select_for_update().order_by("number"))
        refuse_at_work(dataset.name, versions)
        imports = delete_imports(Q(dataset=dataset) | Q(version__in=versions))
        hashes = hashes_of([each for each in versions if each.erased_at is None])
        references = references_of(versions)
        record_act(Act.DELETED, subject=dataset, versions=[each.number for each in versions])
        marks = leave_marks(dataset, versions)
        Review.objects.filter(dataset=dataset).delete()
        if marks:
            Dataset.objects.filter(pk=dataset.pk).update(erased_at=timezone.now(), description="")
        else:
            dataset.delete()
        delete_unused_references(references)
        transaction.on_commit(partial(throw_away, hashes, imports))


def delete_version(*, version: DatasetVersion) -> None:
    """Erases one version; the others of its dataset stay. Raises DatasetInUse as `delete_dataset` does."""
    with transaction.atomic():
        version = DatasetVersion.objects.select_for_update().select_related("dataset").get(pk=version.pk)
        if version.erased_at:
            return
        refuse_at_work(str(version), [version])
        hashes, references = hashes_of([version]), references_of([version])
        imports = delete_imports(Q(version=version))
        hand_on_reviews(version)
        record_act(Act.DELETED, subject=version)
        leave_marks(version.dataset, [version])
        delete_unused_references(references)
        transaction.on_commit(partial(throw_away, hashes, imports))


def refuse_at_work(name: str, versions: list[DatasetVersion]) -> None:
    """Raises DatasetInUse that names the trainings."""
    names = [f"“{each.name}”" for each in learners_of([v.pk for v in versions]) if each.is_at_work]
    if not names:
        return
    listed = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    message = ngettext(
        "“%(name)s” stays for now: a training learns from it (%(listed)s). Stop it, or wait until it has ended.",
        "“%(name)s” stays for now: %(count)s trainings learn from it (%(listed)s). Stop them, or wait until they have "
        "ended.",
        len(names),
    )
    raise DatasetInUse(message % {"name": name, "count": len(names), "listed": listed})


def leave_marks(dataset: Dataset, versions: list[DatasetVersion]) -> int:
    """Turns those versions into marks that something learned from, deletes the others; returns how many marks
    the dataset has."""
    keys = [version.pk for version in versions]
    learned = {learner.version_id for learner in learners_of(keys)}
    forget_versions(keys)
    ShareLink.objects.filter(version__in=keys).delete()
    marked = DatasetVersion.objects.filter(pk__in=learned, erased_at=None)
    marked.update(**MARK, erased_at=timezone.now(), reference=None)
    DatasetVersion.objects.filter(pk__in=set(keys) - learned).delete()
    return dataset.versions.filter(erased_at__isnull=False).count()


def delete_imports(which: Q) -> list[DatasetImport]:
    """How the rows came in, with the reports that quote them. Returns what was deleted."""
    imports = list(DatasetImport.objects.filter(which))
    DatasetImport.objects.filter(pk__in=[each.pk for each in imports]).delete()
    return imports


def hand_on_reviews(version: DatasetVersion) -> None:
    """Reviews of rows that another version holds go on there; the others, copies of erased rows, go."""
    reviews = Review.objects.filter(version=version)
    if not reviews.exists():
        return
    others = version.dataset.versions.present().exclude(pk=version.pk).exclude(rows_sha256="")
    for other in others.order_by("-number"):
        index = RowIndex(other.rows_sha256)
        for review in Review.objects.filter(version=version).only("row_key"):
            number = index.number_of(review.row_key)
            if number is not None:
                Review.objects.filter(pk=review.pk).update(version=other, row_index=number)
    reviews.delete()


def references_of(versions: list[DatasetVersion]) -> list:
    return [version.reference_id for version in versions if version.reference_id]


def delete_unused_references(keys: list) -> None:
    """What a version said of data elsewhere goes with the last version that said it."""
    Reference.objects.filter(pk__in=keys, versions=None).delete()


def throw_away(hashes: set[str], imports: list[DatasetImport]) -> None:
    """Removes the files, once the rows of the database are gone."""
    delete_unused_files(hashes | {imported.report_sha256 for imported in imports} - {""})
    for imported in imports:
        part_path(imported.pk).unlink(missing_ok=True)


def delete_mark(*, version: DatasetVersion) -> None:
    """Removes the mark of an erased version that nothing learned from any more, and that of its dataset with the
    last one. Nothing happens to a version that is there, or still needed."""
    version = DatasetVersion.objects.select_related("dataset").filter(pk=version.pk).first()
    if version is None or version.erased_at is None or learners_of([version.pk]):
        return
    dataset = version.dataset
    version.delete()
    if dataset.erased_at and not dataset.versions.exists():
        dataset.delete()
