"""What erasing a dataset, or one version of it, would touch."""

from dataclasses import dataclass

from django.db.models import Q

from apex.common import files
from datasets_app.learners import Learner, learners_of
from datasets_app.models import (
    Dataset,
    DatasetImport,
    DatasetVersion,
    ImportStatus,
    Review,
    ReviewVerdict,
    ShareLink,
)

UNDER_WAY = (ImportStatus.RECEIVING, ImportStatus.QUEUED, ImportStatus.CHECKING)


@dataclass(frozen=True)
class Erasure:
    """What goes: versions, rows, stored files and their bytes (those that nothing else needs), reviews, links.

    `learners` learned from it and stay; `at_work` are those among them that need the rows now, so that nothing can
    be erased before they have ended.
    """

    versions: list[DatasetVersion]
    files: int
    file_bytes: int
    shared_files: int
    reviews: int
    gold_stars: int
    share_links: int
    imports: int
    learners: list[Learner]

    @property
    def rows(self) -> int:
        return sum(version.row_count for version in self.versions)

    @property
    def at_work(self) -> list[Learner]:
        return [learner for learner in self.learners if learner.is_at_work]

    @property
    def jobs(self) -> list[Learner]:
        return [learner for learner in self.learners if learner.kind == "job"]

    @property
    def adapters(self) -> list[Learner]:
        return [learner for learner in self.learners if learner.kind == "adapter"]


def erasure_of(dataset: Dataset, version: DatasetVersion | None = None) -> Erasure:
    """What goes with the dataset, or with one version of it alone."""
    versions = [version] if version else list(dataset.versions.present().defer("faults").order_by("number"))
    keys = [each.pk for each in versions]
    hashes = hashes_of(versions)
    gone = {sha256 for sha256 in hashes if not is_needed(sha256, keys)}
    reviews = Review.objects.filter(dataset=dataset)
    if version:
        reviews = reviews.filter(version=version)
    return Erasure(
        versions=versions,
        files=len(gone),
        file_bytes=sum(map(size_of, gone)),
        shared_files=len(hashes) - len(gone),
        reviews=reviews.count(),
        gold_stars=reviews.filter(verdict=ReviewVerdict.STAR).count(),
        share_links=ShareLink.objects.filter(version__in=keys).count(),
        imports=DatasetImport.objects.filter(dataset=dataset, status__in=UNDER_WAY).count(),
        learners=learners_of(keys),
    )


def hashes_of(versions: list[DatasetVersion]) -> set[str]:
    return {
        sha256
        for each in versions
        for sha256 in (each.source_sha256, each.rows_sha256, each.report_sha256)
        if sha256
    }


def is_needed(sha256: str, leaving_out: list) -> bool:
    """Whether a version other than these holds the file, whosever it is."""
    holding = Q(source_sha256=sha256) | Q(rows_sha256=sha256) | Q(report_sha256=sha256)
    return DatasetVersion.objects.present().filter(holding).exclude(pk__in=leaving_out).exists()


def size_of(sha256: str) -> int:
    """Bytes of a stored file; 0 where it is gone."""
    name = files.storage_name(sha256)
    return files.storage().size(name) if files.storage().exists(name) else 0
