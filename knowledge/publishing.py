"""A document's way: fetched, read, cut, made vectors of, and published in one transaction."""

import tempfile
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apex.common import fetch, files
from knowledge import leases
from knowledge.embeddings import EmbeddingFailed
from knowledge.erasing import erase_documents, tell_store, thorough
from knowledge.indexing import Prepared, keep, prepare
from knowledge.models import Document, DocumentStatus, KnowledgeBase, KnowledgeIndex
from knowledge.parsing import Parsed, Refused
from knowledge.parsing.kinds import BY_CONTENT_TYPE
from knowledge.reading import Stopped, read_document
from knowledge.texts import keep_text, open_text
from knowledge.watching import Watch

READ_SHARE = 0.1  # of the progress: most of the time goes into vectors


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
