"""What killed or stopped workers left behind on this machine: folders, and engines that nobody listens to."""

import logging
import os
import platform
import re
import shutil
from pathlib import Path

import psutil

from training.engine_logs import keep_log
from training.models import Attempt

logger = logging.getLogger(__name__)
FOLDER = re.compile(r"(?P<job>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})-(?P<token>\d+)-")


def clear_leftovers(work: Path) -> None:
    """Ends the engines and removes the folders of attempts that have ended; a folder is named `JOB-TOKEN-…`."""
    # Looked at before the rows are read: another worker here may begin meanwhile, and its attempt is written first.
    running, folders = engines(work), list(work.iterdir())
    at_work = {f"{job}-{token}" for job, token in Attempt.objects.open().values_list("job_id", "token")}
    for process, folder in running:
        if attempt_of(folder) not in at_work:
            logger.warning("engine %s still runs for an attempt that has ended; killed", process.pid)
            process.kill()
    for folder in folders:
        if attempt_of(folder.name) not in at_work:
            keep_log_of(folder)
            shutil.rmtree(folder, ignore_errors=True)


def attempt_of(folder: str) -> str:
    return folder.rpartition("-")[0]


def keep_log_of(folder: Path) -> None:
    """What the engine of a killed worker had said, unless its attempt has a log, or is gone with its job."""
    named = FOLDER.match(folder.name)
    if named is None:
        return
    attempt = Attempt.objects.filter(job=named["job"], token=named["token"], engine_log=None).first()
    if attempt is not None:
        keep_log(attempt.pk, folder / "engine.log")


def engines(work: Path) -> list[tuple[psutil.Process, str]]:
    """Processes of this machine that run an engine in a folder of `work`, with the folder's name.

    A worker that was only stopped for longer than its lease has one: it would share the device with the next.
    """
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        run = Path(command[-1]) if command else Path()
        if "training.engine" in command and run.name == "run.json" and run.parent.parent == work:
            found.append((process, run.parent.name))
    return found


def is_gone(worker: str) -> bool:
    """Whether `HOST:PID` names a process of this machine that has ended; of other machines nothing is known."""
    host, _, pid = worker.rpartition(":")
    return host == platform.node() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid)))
