"""What a worker does: reads a document into its base's index, or makes an index anew from all documents."""

import logging
import multiprocessing
import tempfile
import time
from pathlib import Path

from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.notices import notify
from apex.common import fetch, files
from knowledge import leases
from knowledge.embeddings import EmbeddingFailed
from knowledge.erasing import erase_documents, tell_store, thorough
from knowledge.indexing import Prepared, keep, prepare
from knowledge.models import Document, DocumentStatus, IndexStatus, KnowledgeBase, KnowledgeIndex
from knowledge.parsing import Parsed, Refused
from knowledge.parsing.kinds import BY_CONTENT_TYPE
from knowledge.queueing import send_document, send_index
from knowledge.reading import ReaderBroke, Stopped, read_document
from knowledge.texts import keep_text, open_text

logger = logging.getLogger(__name__)
BEAT_SECONDS = 1
READ_SHARE = 0.1  # of the progress: most of the time goes into vectors
# Made before the worker forks its hands: the signal reaches the worker alone, the event reaches all.
stopping = multiprocessing.Event()


@worker_shutting_down.connect
def stop_soon(**kwargs) -> None:
    stopping.set()


class Watch:
    """Beats the heart of a row while its work goes on, and stops the work that is no longer wanted."""

    def __init__(self, row) -> None:
        self.row, self.beaten, self.told = row, time.monotonic(), 0.0

    def go_on(self) -> bool:
        if stopping.is_set():
            leases.put_back(self.row)
            return False
        if time.monotonic() - self.beaten < BEAT_SECONDS:
            return True
        self.beaten = time.monotonic()
        return leases.hold(self.row)

    def tell(self, progress: float) -> None:
        """Notes the progress, and tells the page where it has come on visibly. Raises `Stopped`."""
        if not self.go_on():
            raise Stopped
        if progress - self.told >= 0.02 or progress < self.told:
            self.told = progress
            if not leases.hold(self.row, progress=progress):
                raise Stopped
            leases.changed(self.row)


def execute_document(document_id: str) -> None:
    """Reads one document to its end. Quiet if somebody else has it, or if it was deleted on the way."""
    document = leases.claim(Document, document_id)
    if document is None:
        logger.info("document %s does not wait, or all hands are busy; skipped", document_id)
        return
    try:
        read(document, Watch(document))
    except Stopped:
        logger.info("document %s is not wanted any more, or waits for the worker to be back", document_id)
    except Refused as problem:
        fail(document, DocumentStatus.REFUSED, str(problem))
    except (EmbeddingFailed, fetch.FetchError) as problem:
        fail(document, DocumentStatus.REFUSED, str(problem))
    except ReaderBroke as problem:
        logger.error("document %s: its reader ended without an outcome: %s", document_id, problem)
        fail(
            document,
            DocumentStatus.CRASHED,
            _("The process that read it broke off. Try again, or save it anew."),
        )
    except Exception:
        logger.exception("document %s broke in the worker", document_id)
        fail(
            document,
            DocumentStatus.CRASHED,
            _("Apex itself broke while it read this. Try again; the worker's log says where."),
        )
    nudge_next()


def fail(document: Document, status: str, message: str) -> None:
    if leases.finish(document, status, message=message):
        notify(
            owner=document.owner,
            text=_("%(name)s could not be read: %(message)s") % {"name": document, "message": message},
            url=f"/knowledge/{document.knowledge_base_id}/",
            kind="knowledge",
        )


def read(document: Document, watch: Watch) -> None:
    if document.url and not document.source_sha256:
        fetch_source(document, watch)
    parsed = text_of(document, watch)
    while True:
        index = document.knowledge_base.active_index
        if index is None:
            raise EmbeddingFailed(
                _("This knowledge base has no index. Make one on its page, then try again.")
            )
        prepared = prepare(index, parsed, lambda share: watch.tell(READ_SHARE + (1 - READ_SHARE) * share))
        if publish(document, index, parsed, prepared):
            return
        if not leases.hold(document):  # else another index took its place meanwhile: once more, for that one
            raise Stopped


def fetch_source(document: Document, watch: Watch) -> None:
    """Brings what is at its address into the file store, through the guard."""
    limit = settings.DOCUMENT_LIMIT_BYTES
    with (
        fetch.open_url(document.url, max_bytes=limit) as answer,
        tempfile.NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as copy,
    ):
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            copy.write(piece)
            watch.tell(0.01)
        copy.flush()
        stored = files.put_file(Path(copy.name))
        said = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = {"source_sha256": stored.sha256, "size": stored.size, "kind": BY_CONTENT_TYPE.get(said, "")}
    if not leases.hold(document, **found):
        raise Stopped
    for field, value in found.items():
        setattr(document, field, value)


def text_of(document: Document, watch: Watch) -> Parsed:
    """What was read from it before, or reads it now."""
    if document.text_sha256:
        return open_text(document.text_sha256)
    try:
        source = files.local_path(document.source_sha256)
    except (OSError, files.Damaged) as problem:
        raise Refused(_("Its file is not there any more."), _("Bring it again.")) from problem
    parsed = read_document(source, document.name, document.kind, go_on=watch.go_on)
    watch.tell(READ_SHARE)
    return parsed


def publish(document: Document, index: KnowledgeIndex, parsed: Parsed, prepared: Prepared) -> bool:
    """Makes it ready, with its pieces, in one transaction. False if it is no longer ours, or the index is not."""
    sha256 = document.text_sha256 or keep_text(parsed)
    with thorough(), transaction.atomic():
        base = KnowledgeBase.objects.select_for_update().filter(pk=document.knowledge_base_id).first()
        if base is None or base.active_index != index:
            return False
        with_pieces = keep(index.pk, document, prepared)
        is_ready = with_pieces is not None and leases.finish(
            document, DocumentStatus.READY, message=remarks(parsed), progress=1, text_sha256=sha256,
            kind=parsed.kind, characters=len(parsed.text), pages=parsed.places, chunk_count=len(prepared.pieces),
        )  # fmt: skip
        if not is_ready:
            transaction.set_rollback(True)
            return False
        # In the same moment: never do both answer, nor neither.
        erase_documents(Document.objects.filter(pk=document.replaces_id, knowledge_base=base))
    tell_store(KnowledgeIndex.objects.get(pk=index.pk))
    return True


def remarks(parsed: Parsed) -> str:
    return " ".join(parsed.remarks)[:500]


# --- an index made anew -------------------------------------------------------------------------------------


def execute_index(index_id: str) -> None:
    """Makes an index from every document of its base, then puts it in the place of the one before."""
    index = leases.claim(KnowledgeIndex, index_id)
    if index is None:
        logger.info("index %s does not wait, or all hands are busy; skipped", index_id)
        return
    try:
        build(index, Watch(index))
    except Stopped:
        logger.info("index %s is not wanted any more, or waits for the worker to be back", index_id)
    except EmbeddingFailed as problem:
        leases.finish(index, IndexStatus.FAILED, message=str(problem))
    except Exception:
        logger.exception("index %s broke in the worker", index_id)
        message = _("Apex itself broke while it made this. Try again; the worker's log says where.")
        leases.finish(index, IndexStatus.FAILED, message=message)
    nudge_next()


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


def nudge_next() -> None:
    row = leases.next_in_line()
    if row is not None:
        send_document(row.pk) if isinstance(row, Document) else send_index(row.pk)
