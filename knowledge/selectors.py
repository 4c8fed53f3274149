"""Page-shaped reads: bases with their counts, documents in order, a text with one piece of it marked."""

from dataclasses import dataclass

from django.db.models import Count, Prefetch, Q

from knowledge.models import (
    Chunk,
    Document,
    DocumentStatus,
    IndexStatus,
    KnowledgeBase,
    KnowledgeIndex,
    Remnant,
)
from knowledge.texts import open_text

AT_WORK = (DocumentStatus.QUEUED, DocumentStatus.READING)
FAILED = (DocumentStatus.REFUSED, DocumentStatus.CRASHED)
AROUND = 6000  # characters that are shown before and behind a piece


def bases_for_list(user):
    """With their indexes (`indexes.all()`), and how many documents they have, wait, and failed."""
    return (
        KnowledgeBase.objects.for_user(user)
        .prefetch_related(Prefetch("indexes", queryset=KnowledgeIndex.objects.order_by("number")))
        .annotate(
            document_total=Count("documents"),
            at_work=Count("documents", filter=Q(documents__status__in=AT_WORK)),
            failed=Count("documents", filter=Q(documents__status__in=FAILED)),
        )
        .order_by("-created_at")
    )


def active_of(base: KnowledgeBase) -> KnowledgeIndex | None:
    return next((index for index in base.indexes.all() if index.status == IndexStatus.ACTIVE), None)


def next_of(base: KnowledgeBase) -> KnowledgeIndex | None:
    """One that is being made, or could not be made."""
    return next((index for index in base.indexes.all() if index.status != IndexStatus.ACTIVE), None)


def remnants_of(user):
    """What stores elsewhere hold still of indexes that this user deleted."""
    return Remnant.objects.filter(whose=str(user.pk))


def documents_for_page(base: KnowledgeBase):
    """The newest first."""
    return Document.objects.filter(knowledge_base=base).order_by("-created_at")


@dataclass(frozen=True)
class Shown:
    """A stretch of a document's text around a piece; `before` and `after` say whether more stands there."""

    before: str
    marked: str
    after: str
    has_before: bool
    has_after: bool


def around(document: Document, chunk: Chunk | None) -> Shown:
    """The text of a document: its beginning, or what stands around one piece."""
    text = open_text(document.text_sha256).text if document.text_sha256 else ""
    if chunk is None:
        return Shown(text[: 2 * AROUND], "", "", False, len(text) > 2 * AROUND)
    begin, end = max(0, chunk.start - AROUND), min(len(text), chunk.end + AROUND)
    return Shown(
        text[begin : chunk.start],
        text[chunk.start : chunk.end],
        text[chunk.end : end],
        begin > 0,
        end < len(text),
    )
