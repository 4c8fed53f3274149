"""A worker's hold on an import: a fencing token in every write, a heartbeat that shows that it lives.

The token is a new UUID for each try. A worker that comes back from the dead finds that it is no longer the row's,
so nothing that it writes takes effect.
"""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.notices import notify
from apex.common import states
from apex.common.states import move
from datasets_app import events
from datasets_app.models import IMPORT_MOVES, DatasetImport, ImportStatus

OUTCOMES = {
    ImportStatus.DONE: _("%(name)s is checked and ready."),
    ImportStatus.REFUSED: _("%(name)s could not be used: %(message)s"),
    ImportStatus.CRASHED: _("Checking %(name)s was interrupted. You can try again."),
}


def claim(import_id: str) -> str | None:
    """Takes a queued import and returns the token; None if somebody else has it, or all hands are busy: all there
    are, or those that one person may have."""
    with transaction.atomic():
        at_work = DatasetImport.objects.filter(status=ImportStatus.CHECKING)
        if at_work.count() >= settings.IMPORTS_AT_ONCE:
            return None
        imported = DatasetImport.objects.filter(pk=import_id).first()
        if imported is None or at_work.filter(owner=imported.owner_id).count() >= hands_of_one():
            return None
        token = uuid.uuid4()
        if not move(
            imported, ImportStatus.CHECKING, moves=IMPORT_MOVES,
            attempt=token, heartbeat_at=timezone.now(), progress=0, message="",
        ):  # fmt: skip
            return None
        events.import_changed(imported)
    return str(token)


def hands_of_one() -> int:
    """How many imports of one person are checked at once: never all, so that a file that takes long holds up nobody
    else's."""
    return max(1, settings.IMPORTS_AT_ONCE - 1)


def next_in_line() -> DatasetImport | None:
    """The one that has waited longest, of those whose owner has a hand free."""
    at_work = DatasetImport.objects.filter(status=ImportStatus.CHECKING).values("owner")
    busy = at_work.annotate(hands=Count("pk")).filter(hands__gte=hands_of_one()).order_by()
    waiting = DatasetImport.objects.filter(status=ImportStatus.QUEUED).exclude(owner__in=busy.values("owner"))
    return waiting.order_by("updated_at").first()


def put_back(imported: DatasetImport, **changes) -> bool:
    """Lets go of an import that is being checked: it waits again. False if it is no longer this try's."""
    with transaction.atomic():
        is_back = move(
            imported, ImportStatus.QUEUED, moves=IMPORT_MOVES, where={"attempt": imported.attempt},
            attempt=None, updated_at=timezone.now(), **changes,
        )  # fmt: skip
        if is_back:
            events.import_changed(imported)
    return is_back


def hold(import_id: str, token: str, **changes) -> bool:
    """Writes `changes` and a heartbeat if the import is still this try's; says whether it is."""
    where = {"attempt": token}
    return states.hold(DatasetImport, import_id, status=ImportStatus.CHECKING, where=where, **changes)


def finish(import_id: str, token: str, status: str, *, message: str = "", **changes) -> bool:
    """Ends the import, tells its pages and puts a line behind the bell. False if it is no longer this try's."""
    with transaction.atomic():
        imported = DatasetImport.objects.select_related("owner").filter(pk=import_id).first()
        if imported is None or not move(
            imported, status, moves=IMPORT_MOVES, where={"attempt": token}, message=message[:500],
            expires_at=timezone.now() + timedelta(hours=settings.UPLOAD_KEEP_HOURS), **changes,
        ):  # fmt: skip
            return False
        notify(
            owner=imported.owner,
            text=OUTCOMES[status] % {"name": imported, "message": message},
            url=f"/data/imports/{imported.pk}/",
            kind="import",
        )
        events.import_changed(imported)
    return True


def stale_before():
    """An import whose last heartbeat is older has lost its worker."""
    return timezone.now() - timedelta(seconds=settings.IMPORT_SILENT_SECONDS)
