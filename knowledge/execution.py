"""What a worker does: takes a document or an index, does its work under a heartbeat, and says how it ended."""

import logging
from collections.abc import Callable

from django.utils.translation import gettext as _

from accounts.notices import notify
from apex.common import fetch
from knowledge import leases
from knowledge.building import build
from knowledge.embeddings import EmbeddingFailed
from knowledge.models import Document, KnowledgeIndex
from knowledge.parsing import Refused
from knowledge.publishing import read
from knowledge.queueing import send_document, send_index
from knowledge.reading import ReaderBroke, Stopped
from knowledge.watching import Watch

logger = logging.getLogger(__name__)


def execute_document(document_id: str) -> None:
    """Reads one document to its end."""
    execute(Document, document_id, read)


def execute_index(index_id: str) -> None:
    """Makes an index from every document of its base, then puts it in the place of the one before."""
    execute(KnowledgeIndex, index_id, build)


def execute(model: type, key: str, work: Callable) -> None:
    """Claims a row and does its work. Quiet if somebody else has it, or if it was deleted on the way."""
    row = leases.claim(model, key)
    name = f"{model.__name__} {key}"
    if row is None:
        logger.info("%s does not wait, or all hands are busy; skipped", name)
        return
    course = leases.WORK[model]
    try:
        work(row, Watch(row))
    except Stopped:
        logger.info("%s is not wanted any more, or waits for the worker to be back", name)
    except (Refused, EmbeddingFailed, fetch.FetchError) as problem:
        fail(row, course.refused, str(problem))
    except ReaderBroke as problem:
        logger.error("%s: its reader ended without an outcome: %s", name, problem)
        message = _("The process that read it broke off. Try again, or save it anew.")
        fail(row, course.crashed, message)
    except Exception:
        logger.exception("%s broke in the worker", name)
        message = _("Apex itself broke over this. Try again; the worker's log says where.")
        fail(row, course.crashed, message)
    nudge_next()


def fail(row, status: str, message: str) -> None:
    if leases.finish(row, status, message=message):
        if isinstance(row, Document):
            words = _("%(name)s could not be read: %(message)s")
        else:
            words = _("The new index of %(name)s could not be made: %(message)s")
        notify(
            owner=row.owner,
            text=words % {"name": row, "message": message},
            url=f"/knowledge/{row.knowledge_base_id}/",
            kind="knowledge",
        )


def nudge_next() -> None:
    row = leases.next_in_line()
    if row is not None:
        send_document(row.pk) if isinstance(row, Document) else send_index(row.pk)
