"""The periodic sweep of exports: goes on with those whose worker is gone, throws away what is old."""

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from serving.exports import leases
from serving.exports.models import EXPORT_MOVES, Export, ExportStatus
from training.checkpoints import discard


def sweep_exports() -> None:
    put_back_silent()
    expire()
    if waiting := leases.next_in_line():
        leases.send_export(waiting.pk)


def put_back_silent() -> None:
    """Exports whose worker fell silent wait again, until they have had EXPORT_TRIES; then they are *crashed*."""
    silent = Export.objects.filter(
        status=ExportStatus.RUNNING, heartbeat_at__lt=leases.stale_before()
    ).select_related("owner", "adapter")
    for export in silent:
        if export.tries < settings.EXPORT_TRIES:
            leases.put_back(export)
            continue
        leases.finish(
            export,
            ExportStatus.CRASHED,
            reason="silent",
            message=_("Its worker fell silent %(tries)s times; memory may be short. Try again later.")
            % {"tries": export.tries},
        )


def expire() -> None:
    """The file goes, the row stays and says so."""
    old = Export.objects.filter(status=ExportStatus.DONE, expires_at__lt=timezone.now())
    for export in old:
        sha256 = export.sha256
        with transaction.atomic():
            if move(export, ExportStatus.EXPIRED, moves=EXPORT_MOVES, sha256=""):
                discard([sha256])
