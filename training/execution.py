"""What a worker does with a job that it has: run the engine as a child, write down what it says, finish.

Nothing here kills a training: what goes wrong outside the work gives the job back, and another attempt goes on.
"""

import logging
import os
import platform
import tempfile
from contextlib import nullcontext
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from apex.common import files
from datasets_app.reference_rows import check_unchanged
from datasets_app.sources import SourceChanged, SourceError
from training import checkpoints, engine_logs, keeping, leases
from training.child import EngineChild
from training.ending import fail_for_files, fail_for_room, fail_for_rows, give_back, settle
from training.feeding import FeedFailed, RowFeed
from training.following import WorkerStops, follow
from training.keeping import DiskFull, Keeper
from training.leftovers import clear_leftovers
from training.models import Attempt, TrainingJob
from training.persisting import persist
from training.trackers.forwarding import forwarding

logger = logging.getLogger(__name__)


def worker_name() -> str:
    return f"{platform.node()}:{os.getpid()}"


def execute_job(job_id: str) -> None:
    """Runs one job by hand, on no device in particular. Quiet if somebody else has it, or if it has ended."""
    attempt = leases.claim(job_id, worker=worker_name())
    if attempt is None:
        logger.info("job %s is not waiting any more; skipped", job_id)
        return
    execute(attempt)


def execute(attempt: Attempt) -> None:
    """Runs a claimed job to its end, or until it is given back. Whatever happens, its devices are free afterwards."""
    with forwarding(attempt.job):
        execute_here(attempt)


def execute_here(attempt: Attempt) -> None:
    try:
        with leases.beating(attempt):
            run(attempt)
    except leases.LeaseLost as lost:
        logger.info("%s; stopped", lost)
    except WorkerStops:
        give_back(
            attempt, why=_("Apex was stopped while this training ran."), reason="stopped", is_counted=False
        )
    except Exception:
        logger.exception("job %s broke in the worker", attempt.job_id)
        give_back(
            attempt,
            why=_("Apex itself broke while it ran this training; the log of the worker says where."),
            reason="worker_error",
        )
    finally:
        persist(let_go, attempt)


def let_go(attempt: Attempt) -> None:
    """Closes the attempt if nothing has, and removes what it stored without a row."""
    status = TrainingJob.objects.filter(pk=attempt.job_id).values_list("status", flat=True).first()
    leases.release(attempt, status or "")  # its owner may have stopped and deleted it
    checkpoints.delete_unused([attempt.storing_sha256])


def run(attempt: Attempt) -> None:
    work = Path(settings.DATA_DIR) / "work"
    work.mkdir(exist_ok=True)
    persist(clear_leftovers, work)
    prefix = f"{attempt.job_id}-{attempt.token}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=work, ignore_cleanup_errors=True) as folder:
        try:
            train(attempt, Path(folder))
        except DiskFull as problem:
            fail_for_room(attempt, str(problem))
        except SourceError as problem:
            fail_for_rows(attempt, str(problem), is_changed=isinstance(problem, SourceChanged))
        except FeedFailed as problem:
            fail_for_rows(attempt, str(problem), is_changed=problem.is_changed)
        except OSError as problem:
            if not keeping.is_full(problem):
                raise
            said = _("The disk is full: there is no room for what this training needs (%(problem)s).")
            fail_for_room(attempt, said % {"problem": problem.strerror})


def train(attempt: Attempt, folder: Path) -> None:
    """Runs the engine in `folder` until it ends, and ends the job by its last word."""
    version = attempt.job.dataset_version
    check_unchanged(version)
    feed = RowFeed(version, folder / "rows") if version.reference else None
    found = persist(keeping.fetch_newest, attempt, folder / "resume")
    checkpoint, resume_from = found or (None, None)
    try:
        description = run_description(attempt, folder, resume_from)
    except (FileNotFoundError, files.Damaged) as problem:
        logger.warning("job %s cannot begin: %s", attempt.job_id, problem)
        fail_for_files(attempt)
        return
    queues = list(attempt.devices.order_by("index").values_list("queue", flat=True)) or [attempt.job.queue]
    child = EngineChild(
        description,
        folder=folder,
        queues=queues,
    )
    keeper = Keeper(attempt, folder)
    # The engine is ended before the feed, which would wait for it.
    try:
        with feed or nullcontext(), child:
            persist(Attempt.objects.filter(pk=attempt.pk).update, pid=child.pid)
            ending = follow(attempt, child, keeper, feed)
    finally:
        engine_logs.keep_log(attempt.pk, child.log_path)
    settle(attempt, child, ending, folder, checkpoint)


def run_description(attempt: Attempt, folder: Path, resume_from: Path | None = None) -> dict:
    """What the engine is told (docs/architecture.md). Fetches the rows to this machine if they are not here."""
    job = attempt.job
    version = job.dataset_version
    start = job.start_adapter
    return {
        "method": job.method,
        "base_model_dir": str(job.base_model.path),
        "rows_path": str(folder / "rows" if version.reference else files.local_path(version.rows_sha256)),
        "output_dir": str(folder / "output"),
        "checkpoints_dir": str(folder / "checkpoints"),
        "resume_from": str(resume_from) if resume_from else None,
        "start_adapter_dir": str(files.local_directory(start.directory_sha256)) if start else None,
        "config": job.config,
        "processes": job.device_count,
        "lineage": {
            "job": str(job.pk),
            "name": job.name,
            "method": job.method,
            "start_adapter": start.model_id if start else None,
            "start_adapter_sha256": start.directory_sha256 if start else None,
            "dataset": version.dataset.name,
            "dataset_version": str(version.pk),
            "dataset_sha256": version.rows_sha256 or version.reference.sha256,
            "base_model": job.base_model.name,
            "base_revision": job.base_model.revision,
        },
    }
