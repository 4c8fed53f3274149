"""What people ask for: a base, documents in it, another index, and that something goes."""

import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import fetch, files
from apex.common.states import move
from knowledge import events, reranking
from knowledge.chunking import LARGEST, SMALLEST
from knowledge.embeddings import EMBEDDINGS, EmbeddingFailed, default_name, embedding_of
from knowledge.erasing import erase_base, erase_documents
from knowledge.models import (
    DOCUMENT_MOVES,
    INDEX_MOVES,
    Document,
    DocumentStatus,
    IndexStatus,
    KnowledgeBase,
    KnowledgeIndex,
)
from knowledge.queueing import send_document, send_index
from knowledge.stores import STORES

MEGABYTE = 1024 * 1024


class KnowledgeRefused(Exception):
    """It is not done; the message says why and what to do. `field` names what was wrong, if something was."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def create_base(*, owner, name: str, description: str = "", **index) -> KnowledgeBase:
    """A base with an empty index, ready for documents. `index`: as of `checked_index`. Raises KnowledgeRefused."""
    name = name.strip()
    if not name:
        raise KnowledgeRefused(_("Give it a name."), field="name")
    try:
        with transaction.atomic():
            base = KnowledgeBase.objects.create(
                owner=owner, name=name[:120], description=description.strip()[:300]
            )
            wanted = checked_index(base, **index)
            KnowledgeIndex.objects.create(
                owner=owner, knowledge_base=base, number=1, status=IndexStatus.ACTIVE, progress=1, **wanted
            )
    except IntegrityError as problem:
        raise KnowledgeRefused(
            _("You have a knowledge base called “%(name)s” already; choose another name.") % {"name": name},
            field="name",
        ) from problem
    return base


def change_base(
    *,
    base: KnowledgeBase,
    name: str | None = None,
    description: str | None = None,
    rerank_provider: str | None = None,
    rerank_model: str | None = None,
) -> KnowledgeBase:
    """Another name, description or reranker ("" for none); what is None stays. Raises KnowledgeRefused."""
    if name is not None and not name.strip():
        raise KnowledgeRefused(_("Give it a name."), field="name")
    base.name = base.name if name is None else name.strip()[:120]
    base.description = base.description if description is None else description.strip()[:300]
    if rerank_provider is not None:
        base.rerank_provider = rerank_provider
        base.rerank_model = base.rerank_model if rerank_provider else ""
    if rerank_model is not None and base.rerank_provider:
        base.rerank_model = rerank_model.strip()[:200]
    if fault := reranking.fault_of(base.rerank_provider, base.rerank_model):
        raise KnowledgeRefused(fault[1], field=fault[0])
    try:
        with transaction.atomic():
            base.save(update_fields=["name", "description", "rerank_provider", "rerank_model"])
    except IntegrityError as problem:
        raise KnowledgeRefused(
            _("You have a knowledge base called “%(name)s” already; choose another name.")
            % {"name": base.name},
            field="name",
        ) from problem
    return base


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


def add_file(*, base: KnowledgeBase, name: str, stored: files.Stored) -> Document:
    """A document from stored bytes; it waits to be read. Raises KnowledgeRefused."""
    if stored.size > settings.DOCUMENT_LIMIT_BYTES:
        raise KnowledgeRefused(too_large(stored.size), field="file")
    if not stored.size:
        raise KnowledgeRefused(
            _("“%(name)s” is empty. Bring one that holds text.") % {"name": name}, field="file"
        )
    plain = " ".join(PurePosixPath(name.replace("\\", "/")).name.split())[:255] or _("document")
    return add(base, name=plain, source_sha256=stored.sha256, size=stored.size)


def add_upload(*, base: KnowledgeBase, upload) -> Document:
    """A document from a file that came by a form or a call. Raises KnowledgeRefused."""
    if upload.size > settings.DOCUMENT_LIMIT_BYTES:
        raise KnowledgeRefused(too_large(upload.size), field="file")
    with tempfile.NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as copy:
        for piece in upload.chunks():
            copy.write(piece)
        copy.flush()
        stored = files.put_file(Path(copy.name))
    return add_file(base=base, name=upload.name, stored=stored)


def add_url(*, base: KnowledgeBase, url: str) -> Document:
    """A document that is fetched from an address, where users' addresses may lead. Raises KnowledgeRefused."""
    url = url.strip()
    try:
        fetch.check_url(url)
    except fetch.FetchRefused as problem:
        raise KnowledgeRefused(str(problem), field="url") from problem
    parts = urlsplit(url)
    last = unquote(PurePosixPath(parts.path).name)
    name = f"{parts.hostname}/{last}" if last else str(parts.hostname)
    return add(base, name=" ".join(name.split())[:255], url=url)


def add(base: KnowledgeBase, *, name: str, url: str = "", **facts) -> Document:
    """Of the same name (or address) it is the next version, which takes the old one's place once it is ready."""
    with transaction.atomic():
        KnowledgeBase.objects.select_for_update().get(pk=base.pk)
        refuse_too_many(base)
        known = {"url": url} if url else {"name": name, "url": ""}
        before = base.documents.filter(**known).order_by("-number").first()
        while before is not None and before.status in (DocumentStatus.REFUSED, DocumentStatus.CRASHED):
            # It never answered anything, so the new one takes its place at once.
            replaced, number = before.replaces, before.number
            before.delete()
            before = replaced
            if before is None:
                facts["number"] = number
        document = Document.objects.create(
            owner=base.owner, knowledge_base=base, name=name, url=url, replaces=before,
            **{"number": before.number + 1 if before else 1, **facts},
        )  # fmt: skip
        events.base_changed(base.pk, base.owner_id)
        transaction.on_commit(lambda: send_document(document.pk), robust=True)
    return document


def refuse_too_many(base: KnowledgeBase) -> None:
    waiting = Document.objects.filter(
        owner=base.owner_id, status__in=(DocumentStatus.QUEUED, DocumentStatus.READING)
    ).count()
    if waiting >= settings.DOCUMENTS_WAITING_AT_MOST:
        raise KnowledgeRefused(
            _("%(count)s documents of yours wait to be read; bring more when some are done.")
            % {"count": waiting}
        )


def limit_mb() -> int:
    """The largest document, in MB."""
    return settings.DOCUMENT_LIMIT_BYTES // MEGABYTE


def too_large(size: int) -> str:
    return _("%(size)s MB came; a document may have %(limit)s MB. Split it.") % {
        "size": -(-size // MEGABYTE),
        "limit": limit_mb(),
    }


def try_again(*, document: Document) -> bool:
    """Reads it once more; one from an address is fetched anew. False if it is not one that failed."""
    changes = {"source_sha256": "", "text_sha256": ""} if document.url else {}
    with transaction.atomic():
        is_queued = move(
            document, DocumentStatus.QUEUED, moves=DOCUMENT_MOVES, message="", progress=0, tries=0, attempt=None,
            updated_at=timezone.now(), **changes,
        )  # fmt: skip
        if is_queued:
            events.base_changed(document.knowledge_base_id, document.owner_id)
            transaction.on_commit(lambda: send_document(document.pk), robust=True)
    return is_queued


def read_again(*, document: Document) -> Document:
    """One that failed is read once more; of one that is ready and has an address, the next version is fetched.

    Raises KnowledgeRefused.
    """
    if document.status in (DocumentStatus.REFUSED, DocumentStatus.CRASHED):
        try_again(document=document)
        return document
    if document.status != DocumentStatus.READY:
        raise KnowledgeRefused(_("It is being read already."))
    if not document.url:
        raise KnowledgeRefused(_("It is ready. It came as a file: to change it, bring the new file."))
    return add_url(base=document.knowledge_base, url=document.url)


def delete_document(*, document: Document) -> None:
    """Takes it out of every index, with its file and its text; so goes what waits to replace it."""
    erase_documents([document, *document.replaced_by.all()])


def delete_base(*, base: KnowledgeBase) -> None:
    erase_base(base)


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
