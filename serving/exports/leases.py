"""A worker's hold on an export: a token in every write, a heartbeat that shows that it lives."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.notices import notify
from apex.common import states
from apex.common.queueing import send
from apex.common.states import move
from serving.exports.models import EXPORT_MOVES, Export, ExportStatus

OUTCOMES = {
    ExportStatus.DONE: _("%(name)s is ready."),
    ExportStatus.FAILED: _("%(name)s could not be made: %(message)s"),
    ExportStatus.CRASHED: _("%(name)s was interrupted. You can begin it again."),
}


def send_export(export_id) -> None:
    """Nudges a worker. If the broker is away the row stays queued and the sweep sends it again."""
    send("serving.tasks.run_export", {"export_id": str(export_id)}, lost="the sweep will send it again")


def claim(export_id: str) -> Export | None:
    """Takes a queued export; None if somebody else has it, or its owner's turn or the house's has not come."""
    running = Export.objects.filter(status=ExportStatus.RUNNING)
    try:
        with transaction.atomic():
            export = Export.objects.with_adapter().filter(pk=export_id).first()
            if export is None or running.count() >= settings.EXPORTS_AT_ONCE:
                return None
            if running.filter(owner=export.owner_id).exists():
                return None
            won = move(
                export, ExportStatus.RUNNING, moves=EXPORT_MOVES,
                token=uuid.uuid4(), tries=export.tries + 1, heartbeat_at=timezone.now(), progress=0, step="",
            )  # fmt: skip
    except IntegrityError:  # two of one owner, taken by two workers in the same moment
        return None
    return export if won else None


def hold(export: Export, **changes) -> bool:
    """Writes `changes` and a heartbeat if the export is still this worker's; says whether it is."""
    where = {"token": export.token}
    return states.hold(Export, export.pk, status=ExportStatus.RUNNING, where=where, **changes)


def put_back(export: Export) -> bool:
    """Lets go of it: it waits again, for another worker."""
    return move(
        export, ExportStatus.QUEUED, moves=EXPORT_MOVES, where={"token": export.token},
        token=None, queued_at=timezone.now(),
    )  # fmt: skip


def finish(export: Export, status: str, *, message: str = "", **changes) -> bool:
    """Ends it and puts a line behind the bell. False if it is no longer this worker's."""
    with transaction.atomic():
        won = move(
            export, status, moves=EXPORT_MOVES, where={"token": export.token},
            message=message, sealed_secret="", ended_at=timezone.now(), **changes,
        )  # fmt: skip
        if won:
            words = OUTCOMES[ExportStatus(status)] % {"name": export, "message": message}
            notify(owner=export.owner, text=words, url=f"/exports/#{export.pk}", kind="export")
    return won


def next_in_line() -> Export | None:
    """The one that has waited longest, of those whose owner has none at work."""
    busy = Export.objects.filter(status=ExportStatus.RUNNING).order_by().values("owner")
    waiting = Export.objects.filter(status=ExportStatus.QUEUED).exclude(owner__in=busy)
    return waiting.order_by("queued_at").first()


def stale_before():
    """An export whose last heartbeat is older has lost its worker."""
    return timezone.now() - timedelta(seconds=settings.EXPORT_SILENT_SECONDS)
