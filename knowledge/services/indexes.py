"""Another index: asked for, called off, tried again."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from knowledge import events
from knowledge.chunking import LARGEST, SMALLEST
from knowledge.embeddings import EMBEDDINGS, EmbeddingFailed, default_name, embedding_of
from knowledge.models import INDEX_MOVES, IndexStatus, KnowledgeBase, KnowledgeIndex
from knowledge.queueing import send_index
from knowledge.services.refusals import KnowledgeRefused
from knowledge.stores import STORES


def checked_index(
    base: KnowledgeBase,
    *,
    embedding: str = "",
    provider: str = "",
    model: str = "",
    chunk_size: int = 1200,
    chunk_overlap: int = 150,
    store: str = "built_in",
) -> dict:
    """The settings of an index, if one can be made with them. Raises KnowledgeRefused."""
    embedding = embedding or default_name()
    if embedding not in EMBEDDINGS:
        raise KnowledgeRefused(
            _("“%(name)s” is no embedding; there are %(all)s.")
            % {"name": embedding, "all": ", ".join(EMBEDDINGS)},
            field="embedding",
        )
    if store not in STORES:
        raise KnowledgeRefused(
            _("“%(name)s” is no store; there are %(all)s.") % {"name": store, "all": ", ".join(STORES)},
            field="store",
        )
    if problem := STORES[store].problem():
        raise KnowledgeRefused(problem, field="store")
    if not SMALLEST <= chunk_size <= LARGEST:
        raise KnowledgeRefused(
            _("A piece has %(least)s to %(most)s characters.") % {"least": SMALLEST, "most": LARGEST},
            field="chunk_size",
        )
    if not 0 <= chunk_overlap <= chunk_size // 2:
        raise KnowledgeRefused(
            _("Neighbours may share up to half of a piece, here %(most)s characters.")
            % {"most": chunk_size // 2},
            field="chunk_overlap",
        )
    found = {
        "embedding": embedding, "provider": provider if embedding == "provider" else "",
        "model": model if embedding == "provider" else "", "chunk_size": chunk_size,
        "chunk_overlap": chunk_overlap, "store": store,
    }  # fmt: skip
    try:
        embedding_of(KnowledgeIndex(owner=base.owner, knowledge_base=base, **found))
    except EmbeddingFailed as problem:
        raise KnowledgeRefused(str(problem), field="embedding") from problem
    return found


def reindex(*, base: KnowledgeBase, **wanted) -> KnowledgeIndex:
    """Makes another index in the background; the one in use answers until the new one is whole.

    `wanted`: as of `checked_index`; what is left out is as in the one in use. Raises KnowledgeRefused.
    """
    with transaction.atomic():
        KnowledgeBase.objects.select_for_update().get(pk=base.pk)
        if base.indexes.filter(status__in=(IndexStatus.QUEUED, IndexStatus.BUILDING)).exists():
            raise KnowledgeRefused(
                _("Another index is being made already; let it be finished, or call it off.")
            )
        active = base.active_index
        names = ("embedding", "provider", "model", "chunk_size", "chunk_overlap", "store")
        now = {name: getattr(active, name) for name in names} if active else {}
        if wanted.get("embedding", now.get("embedding")) != "provider":
            now |= {"provider": "", "model": ""}
        found = checked_index(
            base, **{**now, **{key: value for key, value in wanted.items() if value is not None}}
        )
        base.indexes.filter(status=IndexStatus.FAILED).delete()
        newest = base.indexes.order_by("-number").first()
        index = KnowledgeIndex.objects.create(
            owner=base.owner, knowledge_base=base, number=newest.number + 1 if newest else 1, **found
        )
        events.base_changed(base.pk, base.owner_id)
        transaction.on_commit(lambda: send_index(index.pk), robust=True)
    return index


def call_off_index(*, base: KnowledgeBase) -> bool:
    """Stops making another index, or puts a failed one away; what was made of it goes. False if there is none."""
    unfinished = base.indexes.exclude(status=IndexStatus.ACTIVE)
    is_there = unfinished.exists()
    unfinished.delete()
    events.base_changed(base.pk, base.owner_id)
    return is_there


def try_index_again(*, index: KnowledgeIndex) -> bool:
    """Goes on with an index that could not be made. False if it is not one that failed."""
    with transaction.atomic():
        is_queued = move(
            index,
            IndexStatus.QUEUED,
            moves=INDEX_MOVES,
            message="",
            tries=0,
            attempt=None,
            updated_at=timezone.now(),
        )
        if is_queued:
            events.base_changed(index.knowledge_base_id, index.owner_id)
            transaction.on_commit(lambda: send_index(index.pk), robust=True)
    return is_queued
