"""Documents: brought, read again, deleted."""

import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import fetch, files
from apex.common.states import move
from audit.models import Act
from audit.services import record_act
from knowledge import events
from knowledge.erasing import erase_documents
from knowledge.models import DOCUMENT_MOVES, Document, DocumentStatus, KnowledgeBase
from knowledge.queueing import send_document
from knowledge.services.refusals import KnowledgeRefused

MEGABYTE = 1024 * 1024


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
    record_act(Act.DELETED, subject=document, of=document.knowledge_base.name)
