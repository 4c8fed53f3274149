"""The periodic sweep: goes on with imports whose worker is gone, and throws away what nobody finished."""

import logging
import shutil
import time
import uuid
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.states import move
from datasets_app import events, leases
from datasets_app.models import IMPORT_MOVES, DatasetImport, ImportStatus
from datasets_app.parts import ENDING, part_path
from datasets_app.queueing import send_import

logger = logging.getLogger(__name__)
ENDED_BADLY = (ImportStatus.REFUSED, ImportStatus.CRASHED, ImportStatus.CANCELLED)


def sweep() -> None:
    put_back_silent_imports()
    queue_whole_uploads()
    send_lost_imports()
    throw_away_expired()
    throw_away_leftovers()


def put_back_silent_imports() -> None:
    """Imports whose worker fell silent wait again, until they have had IMPORT_TRIES; then they are *crashed*."""
    silent = DatasetImport.objects.filter(
        status=ImportStatus.CHECKING, heartbeat_at__lt=leases.stale_before()
    )
    for imported in silent:
        tries = imported.recipe.get("tries", 1)
        if tries < settings.IMPORT_TRIES:
            leases.put_back(imported, recipe={**imported.recipe, "tries": tries + 1})
            send_import(imported.pk)
            continue
        leases.finish(
            imported.pk,
            imported.attempt,
            ImportStatus.CRASHED,
            message=_(
                "Its worker fell silent %(tries)s times; memory may be short. Split the file, or try again."
            )
            % {"tries": tries},
        )


def queue_whole_uploads() -> None:
    """Uploads that are whole though nobody said so: the process that took the last byte ended right after."""
    whole = DatasetImport.objects.filter(
        status=ImportStatus.RECEIVING, offset=F("length"), updated_at__lt=leases.stale_before()
    )
    for imported in whole:
        if move(
            imported, ImportStatus.QUEUED, moves=IMPORT_MOVES, updated_at=timezone.now(), expires_at=None
        ):
            events.import_changed(imported)
            send_import(imported.pk)


def send_lost_imports() -> None:
    """Queued imports that nobody took for a while are sent again; a duplicate is skipped by the claim."""
    lost = DatasetImport.objects.filter(status=ImportStatus.QUEUED, updated_at__lt=leases.stale_before())
    for imported in lost.order_by("updated_at"):
        sent_at = imported.updated_at
        if DatasetImport.objects.filter(pk=imported.pk, updated_at=sent_at).update(updated_at=timezone.now()):
            send_import(imported.pk)


def throw_away_expired() -> None:
    """Unfinished uploads go whole; of what was refused the bytes go, and a month later the row with its report."""
    now = timezone.now()
    for imported in DatasetImport.objects.filter(status=ImportStatus.RECEIVING, expires_at__lt=now):
        # Only if no byte has come since.
        if DatasetImport.objects.filter(pk=imported.pk, expires_at=imported.expires_at).delete()[0]:
            part_path(imported.pk).unlink(missing_ok=True)
            logger.info("upload %s was not finished and has expired", imported.pk)
    ended = DatasetImport.objects.filter(status__in=ENDED_BADLY, expires_at__lt=now)
    for imported in ended:
        part_path(imported.pk).unlink(missing_ok=True)
    old = ended.filter(expires_at__lt=now - timedelta(days=settings.IMPORT_KEEP_DAYS))
    reports = set(old.values_list("report_sha256", flat=True)) - {""}
    old.delete()
    for sha256 in reports:
        if not files.is_held(sha256):
            files.delete_stored(sha256)


def throw_away_leftovers() -> None:
    """Removes from the upload folder what processes left behind that were killed, once it is old."""
    oldest = time.time() - settings.UPLOAD_KEEP_HOURS * 3600
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir():
        if path.lstat().st_mtime > oldest or is_needed(path):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        logger.info("%s was left behind in the upload folder and is gone now", path.name)


def is_needed(path: Path) -> bool:
    """Whether it is the part file of an import that may still be read."""
    if path.suffix != ENDING:
        return False
    try:
        key = uuid.UUID(path.stem)
    except ValueError:
        return False
    return DatasetImport.objects.filter(pk=key).exclude(status=ImportStatus.DONE).exists()
