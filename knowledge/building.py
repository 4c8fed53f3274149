"""An index made anew from every document of its base, and put in the place of the one before."""

from django.db import transaction
from django.utils.translation import ngettext

from accounts.notices import notify
from knowledge import leases
from knowledge.erasing import tell_store, thorough
from knowledge.indexing import keep, prepare
from knowledge.models import Document, DocumentStatus, IndexStatus, KnowledgeBase, KnowledgeIndex
from knowledge.reading import Stopped
from knowledge.texts import open_text
from knowledge.watching import Watch


def build(index: KnowledgeIndex, watch: Watch) -> None:
    """Document by document, each kept when it is done: a worker that takes over goes on behind it."""
    while True:
        left = missing(index)
        document = left.first()
        if document is None:
            if take_place(index):
                return
            if not leases.hold(index):
                raise Stopped
            continue
        ready = Document.objects.filter(
            knowledge_base=index.knowledge_base_id, status=DocumentStatus.READY
        ).count()
        begin = max(0.0, 1 - left.count() / max(1, ready))
        prepared = prepare(
            index,
            open_text(document.text_sha256),
            lambda share: watch.tell(begin + share / max(1, ready)),  # noqa: B023
        )
        with transaction.atomic():
            still = Document.objects.select_for_update().filter(pk=document.pk).exists()
            if not still or not leases.hold(index):
                continue
            keep(index.pk, document, prepared)
        index.refresh_from_db()


def missing(index: KnowledgeIndex):
    """Documents that are ready and of which this index holds nothing. Empty ones have no pieces anywhere."""
    return (
        Document.objects.filter(
            knowledge_base=index.knowledge_base_id, status=DocumentStatus.READY, chunk_count__gt=0
        )
        .exclude(pk__in=index.blocks.values("document"))
        .order_by("created_at")
    )


def take_place(index: KnowledgeIndex) -> bool:
    """Puts a whole index in the place of the active one, whose rows go. False if it is not whole, or not ours."""
    with thorough(), transaction.atomic():
        KnowledgeBase.objects.select_for_update().filter(pk=index.knowledge_base_id).first()
        if missing(index).exists():
            return False
        old = KnowledgeIndex.objects.filter(
            knowledge_base=index.knowledge_base_id, status=IndexStatus.ACTIVE
        ).first()
        if old is not None:
            if not leases.hold(index):
                return False
            old.delete()
        if not leases.finish(index, IndexStatus.ACTIVE, progress=1):
            transaction.set_rollback(True)
            return False
        for document in Document.objects.filter(knowledge_base=index.knowledge_base_id):
            document.chunk_count = document.chunks.filter(index=index).count()
            document.save(update_fields=["chunk_count"])
    tell_store(KnowledgeIndex.objects.get(pk=index.pk))
    count = index.chunk_count
    notify(
        owner=index.owner,
        text=ngettext(
            "“%(name)s” is searched by its new index of %(count)s piece.",
            "“%(name)s” is searched by its new index of %(count)s pieces.",
            count,
        )
        % {"name": index.knowledge_base, "count": count},
        url=f"/knowledge/{index.knowledge_base_id}/",
        kind="knowledge",
    )
    return True
