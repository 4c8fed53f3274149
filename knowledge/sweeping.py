"""The periodic sweep: goes on with what lost its worker, sends again what nobody took, and sees to it that what was
deleted is gone everywhere."""

from django.conf import settings
from django.utils.translation import gettext as _

from knowledge import leases
from knowledge.erasing import catch_up_removals, forget_remnants
from knowledge.models import Document, DocumentStatus, IndexStatus
from knowledge.queueing import send_document, send_index
from knowledge.stores import built_in


def sweep() -> None:
    for row in leases.silent():
        if row.tries < settings.DOCUMENT_TRIES:
            if leases.put_back(row):
                send(row)
            continue
        status = DocumentStatus.CRASHED if isinstance(row, Document) else IndexStatus.FAILED
        leases.finish(
            row,
            status,
            message=_("Its worker fell silent %(tries)s times; memory may be short. Try again, or split it.")
            % {"tries": row.tries},
        )
    for row in leases.lost():
        send(row)
    built_in.STORE.tidy()
    built_in.STORE.make_a_copy()
    forget_remnants()
    catch_up_removals()


def send(row) -> None:
    send_document(row.pk) if isinstance(row, Document) else send_index(row.pk)
