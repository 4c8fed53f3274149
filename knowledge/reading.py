"""Starts the process that reads a document, watches it, and ends it when it goes too far."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.utils.translation import gettext as _

from apex.processes.child import die_with_parent
from knowledge.parsing import Parsed, Refused

LOOK_SECONDS = 0.05
CHILD = [sys.executable, "-m", "knowledge.parsing.child"]


class Stopped(Exception):
    """Whoever asked does not want it any more."""


class ReaderBroke(Exception):
    """The process ended without saying anything; the message has its last words, for the log."""


def read_document(
    source: Path, name: str, hint: str = "", *, go_on: Callable[[], bool] = lambda: True
) -> Parsed:
    """The text of a document, read by a process of its own.

    Raises `Refused` for the document's fault, also where it eats time or memory; `Stopped` when `go_on` says no;
    `ReaderBroke` for ours.
    """
    parent = os.getpid()
    with (
        tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder,
        tempfile.TemporaryFile() as log,
    ):
        target = Path(folder) / "read.json"
        child = subprocess.Popen(
            [*CHILD, str(source), str(target), name[:255], hint],
            cwd=settings.BASE_DIR,
            env={"PATH": os.environ.get("PATH", ""), "TMPDIR": folder, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        try:
            watch(child, go_on)
        finally:
            child.kill()
            child.wait()
        return outcome(child.returncode, target, log)


def watch(child: subprocess.Popen, go_on: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while True:
        try:
            child.wait(LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            pass
        if memory_of(child) > settings.DOCUMENT_MEMORY_BYTES:
            raise Refused(
                _("Reading it takes more than %(limit)s MB of memory, so it was stopped.")
                % {"limit": settings.DOCUMENT_MEMORY_BYTES // 1024**2},
                _("Split it into smaller documents, or bring its text."),
            )
        if time.monotonic() - begun > settings.DOCUMENT_SECONDS:
            raise Refused(
                _("Reading it took more than %(limit)s seconds, so it was stopped.")
                % {"limit": f"{settings.DOCUMENT_SECONDS:g}"},
                _("Split it into smaller documents, or bring its text."),
            )
        if not go_on():
            raise Stopped


def outcome(code: int, target: Path, log: Any) -> Parsed:
    try:
        found = json.loads(target.read_text())
    except (OSError, ValueError) as problem:
        log.seek(0)
        said = log.read()[-2000:].decode(errors="replace")
        if code in (-9, -24, -25) or "MemoryError" in said:
            raise Refused(
                _("Reading it took more memory or time than is given, so it was stopped."),
                _("Split it into smaller documents, or bring its text."),
            ) from problem
        raise ReaderBroke(f"code {code}: {said}") from problem
    if "problem" in found:
        raise Refused(found["problem"], found["advice"])
    return Parsed(**{**found, "marks": [tuple(mark) for mark in found["marks"]]})


def memory_of(child: subprocess.Popen) -> int:
    """Resident bytes of the child; 0 once it is gone."""
    try:
        return psutil.Process(child.pid).memory_info().rss
    except psutil.Error:
        return 0
