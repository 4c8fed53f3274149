"""What a worker does with an export: claim it, let a child make it, watch the child, put the file away."""

import contextlib
import json
import logging
import multiprocessing
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

from celery.signals import worker_shutting_down
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import files, secrets
from apex.common.children import without_secrets
from serving.exports import leases, words
from serving.exports.models import Export, ExportKind, ExportStatus
from serving.exports.words import KINDS
from serving.guard import allowed_addresses
from serving.protocol import ApiError
from training import checkpoints
from training.engine.errors import is_disk_error

logger = logging.getLogger(__name__)
CHILD = [sys.executable, "-m", "serving.exports.engine"]
BEAT_SECONDS = 1
LOG_TAIL_BYTES = 8000
SPARE_BYTES = 256 * 1024**2  # the rest of the site needs room, too
# Made before the worker forks its hands: the signal reaches the worker alone, the event reaches all.
stopping = multiprocessing.Event()


@worker_shutting_down.connect
def stop_soon(**kwargs) -> None:
    stopping.set()


class Failed(Exception):
    """The work said no."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotOurs(Exception):
    """It was cancelled, or another worker has it."""


def execute_export(export_id: str) -> None:
    """Makes one export to its end. Quiet if somebody else has it, or if it is cancelled on the way."""
    export = leases.claim(export_id)
    if export is None:
        logger.info("export %s is not waiting any more, or its turn has not come", export_id)
        return
    try:
        make(export)
    except NotOurs:
        logger.info("export %s was cancelled or taken over; stopped", export.pk)
    except Failed as problem:
        leases.finish(export, ExportStatus.FAILED, message=str(problem), reason=problem.reason)
    except Exception:
        logger.exception("export %s broke in the worker", export.pk)
        leases.finish(
            export,
            ExportStatus.CRASHED,
            message=_("Apex itself broke while it made this; the log of the worker says where."),
        )
    if waiting := leases.next_in_line():
        leases.send_export(waiting.pk)


def make(export: Export) -> None:
    # Below a folder that is swept: what a killed worker leaves there goes after a day.
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR, prefix="export-") as folder:
        refuse_without_room(export, Path(folder))
        made = let_child_make(export, Path(folder))
        if made is None:
            leases.put_back(export)
            return
        keep(export, made)


def refuse_without_room(export: Export, folder: Path) -> None:
    """Better now than after an hour."""
    base = export.adapter.base_model.size_bytes
    room = KINDS[export.kind].room
    if export.options.get("what") == "adapter":
        room = 0
    needed = int(room * (base + export.adapter.size_bytes)) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Failed(
            "disk_full",
            _(
                "This takes up to %(needed)s of room on the disk while it is made, and %(free)s are free. Free some "
                "space below the data directory, or export the adapter alone."
            )
            % {"needed": in_gigabytes(needed), "free": in_gigabytes(free)},
        )


def in_gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def description(export: Export, folder: Path) -> dict:
    """What the child is told (`serving/exports/engine/asked.py`)."""
    told = {
        "kind": export.kind,
        "adapter_dir": str(files.local_directory(export.adapter.directory_sha256)),
        "base_dir": str(export.adapter.base_model.path),
        "folder": str(folder),
        "name": words.file_stem(export.adapter),
        "options": export.options,
        "converters": settings.LLAMA_CPP_DIR,
        "python": settings.LLAMA_CPP_PYTHON,
    }
    if export.kind == ExportKind.HUB:
        try:
            token = secrets.open_secret(export.sealed_secret, export.secret_context)
        except secrets.SecretError as problem:
            raise Failed("hub_token", _("The token cannot be read any more; begin again.")) from problem
        told |= {"endpoint": words.hub_endpoint(), "token": token}
    return told


def environment(folder: Path) -> dict[str, str]:
    return without_secrets(os.environ) | {
        "CUDA_VISIBLE_DEVICES": "",  # trainings have the GPUs
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HOME": str(folder / "home"),  # no token of the machine is found there, and none is left
        "HF_HUB_DISABLE_XET": "1",  # its own sockets would go past the guard
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "0",
        "TMPDIR": str(folder),
    }


def let_child_make(export: Export, folder: Path) -> dict | None:
    """The child's `made`; None if this worker has to stop. Raises Failed or NotOurs."""
    told = description(export, folder)
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            CHILD, cwd=settings.BASE_DIR, env=environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            answer(child, told)
            outcome = follow(export, child)
        finally:
            end(child)
        if outcome == {}:
            logger.error("export %s: its child ended with %s\n%s", export.pk, child.returncode, tail(log))
            raise Failed(*words_for_end(child.returncode))
    return outcome


def follow(export: Export, child: subprocess.Popen) -> dict | None:
    """Reads what the child says until it is done: its last word, {} if it ended without one, None if we must stop."""
    said: queue.Queue = queue.Queue()
    threading.Thread(target=read_into, args=(child, said), name="export-events", daemon=True).start()
    beaten = 0.0
    while True:
        with contextlib.suppress(queue.Empty):
            event = said.get(timeout=BEAT_SECONDS / 4)
            if event is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(BEAT_SECONDS)  # so that its own code is told, and not that of our signal
                return {}
            match event.get("event"):
                case "step":
                    if not leases.hold(export, step=event["name"], progress=event["progress"]):
                        raise NotOurs
                case "may_connect":
                    answer(child, allowance(event["url"]))
                case "failed":
                    raise Failed(event["reason"], f"{event['message']} {event['advice']}".strip())
                case "made":
                    return event
        if stopping.is_set():
            return None
        if time.monotonic() - beaten >= BEAT_SECONDS:
            beaten = time.monotonic()
            if not leases.hold(export):
                raise NotOurs


def allowance(url: str) -> dict:
    """Whether the child may connect there, by the same rules as for every address that a user gives."""
    try:
        return {"addresses": allowed_addresses(url)}
    except ApiError as problem:
        return {"refused": str(problem)}


def read_into(child: subprocess.Popen, said: queue.Queue) -> None:
    for line in child.stdout:
        try:
            said.put(dict(json.loads(line)))
        except (ValueError, TypeError):
            logger.warning("the export child said something that is no event: %r", line[:200])
    said.put(None)


def answer(child: subprocess.Popen, content: dict) -> None:
    with contextlib.suppress(BrokenPipeError):  # its end is told by its output
        child.stdin.write((json.dumps(content) + "\n").encode())
        child.stdin.flush()


def end(child: subprocess.Popen) -> None:
    """The child and the converter that it may have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()


def words_for_end(code: int) -> tuple[str, str]:
    if code == -signal.SIGKILL:
        return "out_of_memory", _(
            "The process that made this was ended from outside, most often because memory ran out. The whole base "
            "model has to fit into it; stop what else runs there, or export the adapter alone."
        )
    return "unexpected", _(
        "The process that made this ended with code %(code)s; the worker's log says more."
    ) % {"code": code}


def keep(export: Export, made: dict) -> None:
    """Puts the file away and ends the export, both or neither."""
    changes = {"files": made["files"], "progress": 100, "step": "", "link": made["link"]}
    if not made["file"]:
        leases.finish(export, ExportStatus.DONE, **changes)
        return
    if not leases.hold(export, step="storing", progress=90):
        raise NotOurs
    path = Path(made["file"])
    stored = files.stored_as(path)
    # Noted first: if this worker dies in between, the sweep removes what nobody has.
    checkpoints.note_discarded([stored.sha256])
    try:
        files.put_file(path)
    except OSError as problem:
        if not is_disk_error(problem):
            raise
        raise Failed(
            "disk_full", _("The disk became full before it was put away. Free some space.")
        ) from problem
    won = leases.finish(
        export, ExportStatus.DONE, file_name=path.name, sha256=stored.sha256, size_bytes=stored.size,
        expires_at=timezone.now() + timedelta(days=settings.EXPORT_KEEP_DAYS), **changes,
    )  # fmt: skip
    checkpoints.delete_unused([stored.sha256])  # forgets the note, and the bytes if they are nobody's
    if not won:
        raise NotOurs


def tail(log) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - LOG_TAIL_BYTES))
    return log.read().decode(errors="replace")
