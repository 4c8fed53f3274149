"""What a worker does with a job: claim it, run the engine as a child, write down what it says, finish."""

import logging
import os
import platform
import shutil
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils.translation import gettext as _

from apex.common import files
from apex.settings.queues import visible_devices
from datasets_app.reference_rows import check_unchanged
from datasets_app.sources import SourceChanged, SourceError
from training import leases
from training.child import EngineChild
from training.feeding import FeedFailed, RowFeed
from training.models import Adapter, Attempt, Status, TrainingJob, model_id_of
from training.recording import Recorder

logger = logging.getLogger(__name__)
shutting_down = threading.Event()
FLUSH_SECONDS = 0.1  # at most ten transactions a second, however fast the steps come
HOLD_SECONDS = 1  # how soon a job that was cancelled is noticed


@worker_shutting_down.connect
def stop_soon(**kwargs) -> None:
    shutting_down.set()


def execute_job(job_id: str) -> None:
    """Runs one job to its end. Quiet if somebody else has it, or if it is cancelled on the way."""
    attempt = leases.claim(job_id, worker=f"{platform.node()}:{os.getpid()}")
    if attempt is None:
        logger.info("job %s is not waiting any more; skipped", job_id)
        return
    try:
        with leases.beating(attempt):
            run(attempt)
    except leases.LeaseLost as lost:
        logger.info("%s; stopped", lost)
    except Exception:
        logger.exception("job %s broke in the worker", job_id)
        finish_quietly(
            attempt,
            Status.CRASHED,
            reason="worker_error",
            message=_("Apex itself broke while it ran this training; the log of the worker says where."),
            advice=_("Press Try again. If it happens twice, tell whoever runs this machine."),
        )
    finally:
        status = TrainingJob.objects.filter(pk=job_id).values_list("status", flat=True).first()
        if status is not None:  # its owner may have stopped and deleted it
            leases.release(attempt, status)


def run(attempt: Attempt) -> None:
    work = Path(settings.DATA_DIR) / "work"
    work.mkdir(exist_ok=True)
    clear_leftovers(work)
    version = attempt.job.dataset_version
    with tempfile.TemporaryDirectory(prefix=f"{attempt.job_id}-", dir=work) as folder:
        try:
            check_unchanged(version)
            feed = RowFeed(version, Path(folder) / "rows") if version.reference else None
        except SourceError as problem:
            fail_for_rows(attempt, str(problem), is_changed=isinstance(problem, SourceChanged))
            return
        child = EngineChild(
            run_description(attempt, Path(folder)),
            folder=Path(folder),
            devices=visible_devices(attempt.job.queue),
        )
        try:
            # The engine is ended before the feed, which would wait for it.
            with feed or nullcontext(), child:
                Attempt.objects.filter(pk=attempt.pk).update(pid=child.pid)
                ending = follow(attempt, child, feed)
        except FeedFailed as problem:
            fail_for_rows(attempt, str(problem), is_changed=problem.is_changed)
            return
        settle(attempt, child, ending)


def fail_for_rows(attempt: Attempt, message: str, *, is_changed: bool) -> None:
    """The examples stay elsewhere, and could not be had, or are others than those that were checked."""
    leases.finish(
        attempt,
        Status.FAILED,
        reason="data_changed" if is_changed else "data_away",
        message=message,
        advice=_("Open the examples and have them checked again; then start a training with the new version.")
        if is_changed
        else _("See whether the address and its connection still work, then press Try again."),
    )


def clear_leftovers(work: Path) -> None:
    """Removes what workers left behind that were killed: folders of jobs that do not run any more."""
    running = {
        str(pk) for pk in TrainingJob.objects.filter(status=Status.RUNNING).values_list("pk", flat=True)
    }
    for folder in work.iterdir():
        if folder.name.rpartition("-")[0] not in running:
            shutil.rmtree(folder, ignore_errors=True)


def run_description(attempt: Attempt, folder: Path) -> dict:
    """What the engine is told (docs/architecture.md). Fetches the rows to this machine if they are not here."""
    job = attempt.job
    version, start = job.dataset_version, job.start_adapter
    return {
        "method": job.method,
        "base_model_dir": str(job.base_model.path),
        "rows_path": str(folder / "rows" if version.reference else files.local_path(version.rows_sha256)),
        "output_dir": str(folder / "output"),
        "config": job.config,
        "start_adapter_dir": str(files.local_directory(start.directory_sha256)) if start else None,
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


def follow(attempt: Attempt, child: EngineChild, feed: RowFeed | None = None) -> dict | None:
    """Writes down what the child says until it ends; returns its last word, `finished` or `failed`, if it had one.

    Raises `LeaseLost` if the job is cancelled or taken over meanwhile, `FeedFailed` if its rows stop coming;
    leaving the child's context ends it.
    """
    recorder, ending, held_at = Recorder(attempt), None, time.monotonic()
    while True:
        if feed is not None:
            feed.check()
        event = child.next_event(timeout=FLUSH_SECONDS)
        ended = event is None and child.has_ended()
        if event is not None:
            recorder.add(event)
            ending = event if event["event"] in ("finished", "failed") else ending
            if not recorder.is_due(FLUSH_SECONDS):
                continue
        now = time.monotonic()
        try:
            recorder.flush()
            if now - held_at > HOLD_SECONDS:
                leases.hold(attempt)
                held_at = now
        except (OperationalError, InterfaceError) as problem:
            # The database is away: what was said is kept and written later, unless the lease runs out first.
            if now - held_at > settings.TRAINING_LEASE_SECONDS:
                raise
            logger.warning("job %s: could not write, will try again: %s", attempt.job_id, problem)
            time.sleep(1)
        if ended and not recorder.waiting:
            return ending
        if shutting_down.is_set():
            finish_quietly(
                attempt,
                Status.CRASHED,
                reason="stopped",
                message=_("Apex was stopped while this training ran."),
                advice=_("Press Try again when it is up."),
            )
            raise leases.LeaseLost("the worker is shutting down")


def settle(attempt: Attempt, child: EngineChild, ending: dict | None) -> None:
    """Ends the job by the child's last word; without one, it crashed."""
    if ending and ending["event"] == "finished" and child.returncode == 0:
        keep_adapter(attempt, ending, child)
    elif ending and ending["event"] == "failed":
        leases.finish(
            attempt,
            Status.FAILED,
            reason=ending.get("reason", "unexpected"),
            message=ending.get("message", _("The engine gave no reason.")),
            advice=ending.get("advice", ""),
            log_tail=child.log_tail(),
        )
    else:
        leases.finish(
            attempt,
            Status.CRASHED,
            reason="engine_died",
            message=died_words(child.returncode),
            advice=_("Try again with shorter examples or a smaller base model, or look at the log below."),
            log_tail=child.log_tail(),
        )


def died_words(returncode: int) -> str:
    if returncode == -9:
        return _("The training process was ended from outside (signal 9), most often because memory ran out.")
    if returncode < 0:
        return _("The training process was ended by signal %(number)s.") % {"number": -returncode}
    return _("The training process ended with code %(code)s and no reason.") % {"code": returncode}


def keep_adapter(attempt: Attempt, ending: dict, child: EngineChild) -> None:
    """Stores the adapter by hash, then ends the job and writes the adapter's row in one transaction."""
    job = attempt.job
    stored = files.put_directory(Path(ending["adapter_dir"]))
    with transaction.atomic():
        leases.finish(
            attempt,
            Status.SUCCEEDED,
            message=_("Finished."),
            tokens=ending.get("tokens") or job.tokens,
            step=ending.get("steps") or job.step,
            eval_loss_base=ending.get("eval_loss_base"),
            eval_loss=ending.get("eval_loss"),
            train_loss=ending.get("train_loss"),
            facts={**job.facts, "finished": ending},
            log_tail=child.log_tail(),
        )
        Adapter.objects.create(
            owner=job.owner,
            name=job.name,
            model_id=model_id_of(job),
            job=job,
            dataset_version=job.dataset_version,
            base_model=job.base_model,
            base_revision=job.base_model.revision,
            config=job.config,
            seed=job.config["seed"],
            library_versions=ending.get("library_versions", {}),
            directory_sha256=stored.sha256,
            size_bytes=stored.size,
            eval_loss_base=ending.get("eval_loss_base"),
            eval_loss=ending.get("eval_loss"),
        )


def finish_quietly(attempt: Attempt, status: str, **changes) -> None:
    try:
        leases.finish(attempt, status, **changes)
    except leases.LeaseLost as lost:
        logger.info("%s", lost)
