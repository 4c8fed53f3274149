"""What a worker does with an import: claim it, let a child make the version, watch the child, finish.

The child (`datasets_app.bringing_child`) does the reading, so a file that eats memory or never ends costs that
child and not a worker. It writes progress and outcome itself, with the token of this try.
"""

import contextlib
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

import psutil
from celery.signals import worker_shutting_down
from django.conf import settings
from django.utils.translation import gettext as _

from datasets_app import leases
from datasets_app.models import DatasetImport, ImportStatus
from datasets_app.queueing import send_import

logger = logging.getLogger(__name__)
CHILD = [sys.executable, "-m", "datasets_app.bringing_child"]
LOOK_SECONDS = 0.25
BEAT_SECONDS = 1
CLOSING_SECONDS = 20
LOG_TAIL_BYTES = 8000
# Made before the worker forks its hands: the signal reaches the worker alone, the event reaches all.
stopping = multiprocessing.Event()


@worker_shutting_down.connect
def stop_soon(**kwargs) -> None:
    stopping.set()


def execute_import(import_id: str) -> None:
    """Runs one import to its end. Quiet if somebody else has it, or if it is cancelled on the way."""
    token = leases.claim(import_id)
    if token is None:
        logger.info("import %s is not waiting any more, or all hands are busy; skipped", import_id)
        return
    try:
        supervise(import_id, token)
    except Exception:
        logger.exception("import %s broke in the worker", import_id)
        crash(
            import_id, token, _("Apex itself broke while it checked this; the log of the worker says where.")
        )
    waiting = leases.next_in_line()
    if waiting is not None:
        send_import(waiting.pk)


def crash(import_id: str, token: str, message: str) -> None:
    leases.finish(import_id, token, ImportStatus.CRASHED, message=message)


def supervise(import_id: str, token: str) -> None:
    """Starts the child and stays until it has ended; whatever it leaves undone becomes *crashed* or *refused*."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [*CHILD, import_id, token],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            status, message = watch(child, import_id, token)
        finally:
            child.kill()
            child.wait()
        if status is None:
            return
        logger.error("import %s: %s\n%s", import_id, message, tail(log))
        leases.finish(import_id, token, status, message=message)


def watch(child: subprocess.Popen, import_id: str, token: str) -> tuple[str | None, str]:
    """Waits for the child's end. Returns what is left to be written: (None, "") where it wrote its outcome itself."""
    begun = beaten = time.monotonic()
    while True:
        try:
            child.wait(LOOK_SECONDS)
            return after(child.returncode, import_id, token)
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if memory_of(child) > settings.IMPORT_MEMORY_BYTES:
            return ImportStatus.REFUSED, _(
                "Reading this takes more than %(limit)s MB of memory, so it was stopped. Split it into smaller "
                "files, or bring it as JSON Lines, which is read line by line."
            ) % {"limit": settings.IMPORT_MEMORY_BYTES // (1024 * 1024)}
        if now - begun > settings.IMPORT_SECONDS:
            return ImportStatus.REFUSED, _(
                "Reading this took more than %(limit)s minutes, so it was stopped. Split it into smaller files."
            ) % {"limit": settings.IMPORT_SECONDS // 60}
        if stopping.is_set():
            logger.info("import %s waits until the worker is up again", import_id)
            leases.put_back(DatasetImport.objects.get(pk=import_id, attempt=token))
            return None, ""
        if now - beaten >= BEAT_SECONDS:
            beaten = now
            if not leases.hold(import_id, token):
                let_it_close(child, import_id)
                return None, ""


def let_it_close(child: subprocess.Popen, import_id: str) -> None:
    """A child that has just written its outcome may put things away; one whose import was cancelled may not go on."""
    if DatasetImport.objects.filter(
        pk=import_id, status__in=(ImportStatus.DONE, ImportStatus.REFUSED)
    ).exists():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(CLOSING_SECONDS)
    else:
        logger.info("import %s was cancelled or taken over; stopped", import_id)


def after(returncode: int, import_id: str, token: str) -> tuple[str | None, str]:
    if not leases.hold(import_id, token):
        return None, ""  # it has written its outcome, or was cancelled
    if returncode == -9:
        return ImportStatus.CRASHED, _(
            "The process that read this was ended from outside (signal 9), most often because memory ran out. "
            "Try again, or split the file."
        )
    return ImportStatus.CRASHED, _(
        "The process that read this ended with code %(code)s and no outcome. Try again; the log of the worker "
        "says more."
    ) % {"code": returncode}


def memory_of(child: subprocess.Popen) -> int:
    """Resident bytes of the child; 0 once it is gone."""
    try:
        return psutil.Process(child.pid).memory_info().rss
    except psutil.Error:
        return 0


def tail(log) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - LOG_TAIL_BYTES))
    return log.read().decode(errors="replace")
