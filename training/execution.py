"""What a worker does with a job that it has: run the engine as a child, write down what it says, finish.

Nothing here kills a training: what goes wrong outside the work gives the job back, and another attempt goes on.
"""

import logging
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils.translation import gettext as _

from apex.common import files
from datasets_app.reference_rows import check_unchanged
from datasets_app.sources import SourceChanged, SourceError
from training import checkpoints, engine_logs, keeping, leases
from training.child import EngineChild
from training.feeding import FeedFailed, RowFeed
from training.keeping import DiskFull, Keeper
from training.leftovers import clear_leftovers
from training.models import Adapter, Attempt, Checkpoint, Status, TrainingJob, model_id_of
from training.recording import Recorder
from training.trackers.forwarding import forwarding

logger = logging.getLogger(__name__)
shutting_down = threading.Event()
FLUSH_SECONDS = 0.1  # at most ten transactions a second, however fast the steps come
LOOK_SECONDS = 1  # how soon it is noticed that a job was cancelled or shall pause
LOG_SECONDS = 4  # how old the log is on the page of a job at work
AWAY_SECONDS = 1  # between two tries to write while the database is away
STOP_SECONDS = 4  # for a last checkpoint, when the worker is to end
LAST_WORDS = ("finished", "failed", "paused")


class WorkerStops(Exception):
    """The worker was asked to end while the training runs."""


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


def persist(write: Callable, *args, **kwargs):
    """Writes, however long the database is away. Raises what `write` raises; gives up only when the worker ends."""
    while True:
        try:
            return write(*args, **kwargs)
        except leases.DATABASE_AWAY as problem:
            if shutting_down.is_set():
                raise
            logger.warning("could not write, will try again: %s", problem)
            close_old_connections()
            time.sleep(AWAY_SECONDS)


def give_back(attempt: Attempt, **changes) -> None:
    try:
        persist(leases.give_back, attempt, **changes)
    except leases.LeaseLost as lost:
        logger.info("%s", lost)


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


def fail(attempt: Attempt, reason: str, message: str, advice: str = "", **changes) -> None:
    """Ends the job for good: the work said no."""
    persist(leases.finish, attempt, Status.FAILED, reason=reason, message=message, advice=advice, **changes)


def fail_for_rows(attempt: Attempt, message: str, *, is_changed: bool) -> None:
    """The examples stay elsewhere, and could not be had, or are others than those that were checked."""
    advice = (
        _("Open the examples and have them checked again; then start a training with the new version.")
        if is_changed
        else _("See whether the address and its connection still work, then press Try again.")
    )
    fail(attempt, "data_changed" if is_changed else "data_away", message, advice)


def fail_for_room(attempt: Attempt, message: str) -> None:
    fail(attempt, "disk_full", message, _("Make room on the disk, then press Try again."))


def fail_for_files(attempt: Attempt) -> None:
    """What was stored here is gone or damaged: the rows, or the adapter that it begins with."""
    job = attempt.job
    words = _("The stored files of %(data)s, or of the adapter that it goes on from, are gone or damaged.")
    advice = _("Bring the examples in again and start a training with them.")
    fail(attempt, "data_gone", words % {"data": job.dataset_version.dataset.name}, advice)


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


def follow(attempt: Attempt, child: EngineChild, keeper: Keeper, feed: RowFeed | None = None) -> dict | None:
    """Writes down what the child says until it ends; returns its last word (`LAST_WORDS`), if it had one.

    While the database is away, what was said is kept and written later. Raises `LeaseLost` if the job is cancelled
    or taken over meanwhile, `FeedFailed` if its rows stop coming, `DiskFull`, and `WorkerStops`; leaving the child's
    context ends it.
    """
    recorder, ending = Recorder(attempt), None
    watch = Watch(attempt, child)
    while True:
        if feed is not None:
            feed.check()
        event = child.next_event(timeout=FLUSH_SECONDS)
        ended = event is None and child.has_ended()
        if event is not None:
            recorder.add(event)
            watch.hear(event)
            if event["event"] == "checkpoint":
                keeper.add(event)
            ending = event if event["event"] in LAST_WORDS else ending
            # A checkpoint is stored before any later step is shown: at most one interval is made again.
            if event["event"] != "checkpoint" and not recorder.is_due(FLUSH_SECONDS):
                continue
        try:
            recorder.flush()
            keeper.store()
            watch.look()
        except leases.DATABASE_AWAY as problem:
            logger.warning("job %s: could not write, will try again: %s", attempt.job_id, problem)
            close_old_connections()
            time.sleep(AWAY_SECONDS)
        if ended and not recorder.waiting and not keeper.waiting:
            return ending
        watch.stop_if_asked()


class Watch:
    """Tells the child what has become of its job: that it shall pause, or that the worker ends."""

    def __init__(self, attempt: Attempt, child: EngineChild):
        self.attempt = attempt
        self.child = child
        self.looked_at = self.logged_at = time.monotonic()
        self.log_tail = ""
        self.is_told = self.has_stepped = False
        self.stop_by: float | None = None

    def hear(self, event: dict) -> None:
        self.has_stepped = self.has_stepped or event["event"] == "step"

    def look(self) -> None:
        """Once a second; raises `LeaseLost` if the job was cancelled or taken over."""
        if time.monotonic() - self.looked_at < LOOK_SECONDS:
            return
        if leases.look(self.attempt) == Status.PAUSING:
            self.tell_to_pause()
        self.keep_log()
        self.looked_at = time.monotonic()

    def keep_log(self) -> None:
        """Now and then the end of the log goes to the job's row, where its page reads it."""
        if time.monotonic() - self.logged_at < LOG_SECONDS:
            return
        self.logged_at = time.monotonic()
        tail = self.child.log_tail()
        if tail != self.log_tail:
            leases.hold(self.attempt, log_tail=tail)
            self.log_tail = tail

    def tell_to_pause(self) -> None:
        if not self.is_told:
            self.child.tell("pause")
            self.is_told = True

    def stop_if_asked(self) -> None:
        """When the worker is to end, a training that has done a step gets STOP_SECONDS to save where it is."""
        if not shutting_down.is_set():
            return
        if self.stop_by is None:
            self.stop_by = time.monotonic() + (STOP_SECONDS if self.has_stepped else 0)
            self.tell_to_pause()
        if time.monotonic() >= self.stop_by:
            raise WorkerStops


def settle(
    attempt: Attempt, child: EngineChild, ending: dict | None, folder: Path, checkpoint: Checkpoint | None
) -> None:
    """Ends the job by the child's last word, or gives it back. `checkpoint`: what the child went on from."""
    word = ending["event"] if ending else ""
    if word == "finished" and child.returncode == 0:
        keep_adapter(attempt, ending, child, folder)
    elif word == "paused" and child.returncode == 0:
        was_asked = not shutting_down.is_set()
        why = (
            _("Paused at step %(step)s.")
            if was_asked
            else _("Apex was stopped at step %(step)s of this training.")
        )
        give_back(attempt, why=why % {"step": ending["step"]}, reason="paused" if was_asked else "stopped",
                  is_counted=False)  # fmt: skip
    elif word == "failed" and ending.get("reason") == "bad_checkpoint" and checkpoint is not None:
        persist(keeping.mark_damaged, attempt, checkpoint)
        give_back(attempt, why=ending.get("message", ""), reason="bad_checkpoint", is_counted=False)
    elif word == "failed":
        message = ending.get("message", _("The engine gave no reason."))
        reason = ending.get("reason", "unexpected")
        fail(attempt, reason, message, ending.get("advice", ""), log_tail=child.log_tail())
    else:
        give_back(
            attempt,
            why=died_words(child.returncode),
            reason="engine_died",
            advice=_("Try again with shorter examples or a smaller base model, or look at the log below."),
            log_tail=child.log_tail(),
        )


def died_words(returncode: int) -> str:
    if returncode == -9:
        return _("The training process was ended from outside (signal 9), most often because memory ran out.")
    if returncode < 0:
        return _("The training process was ended by signal %(number)s.") % {"number": -returncode}
    return _("The training process ended with code %(code)s and no reason.") % {"code": returncode}


def keep_adapter(attempt: Attempt, ending: dict, child: EngineChild, folder: Path) -> None:
    """Stores the adapter by hash, then ends the job and writes the adapter's row in one transaction."""
    stored = persist(keeping.store_directory, attempt, Path(ending["adapter_dir"]), folder)
    persist(write_adapter, attempt, ending, stored, child.log_tail())
    attempt.storing_sha256 = ""


@transaction.atomic
def write_adapter(attempt: Attempt, ending: dict, stored: files.Stored, log_tail: str) -> None:
    job = attempt.job
    leases.finish(
        attempt,
        Status.SUCCEEDED,
        message=_("Finished."),
        reason="",
        tries_without_progress=0,
        tokens=ending.get("tokens") or job.tokens,
        step=ending.get("steps") or job.step,
        eval_loss_base=ending.get("eval_loss_base"),
        eval_loss=ending.get("eval_loss"),
        train_loss=ending.get("train_loss"),
        facts={**job.facts, "finished": ending},
        log_tail=log_tail,
        **({"best_step": ending["best_step"]} if ending.get("best_step") is not None else {}),
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
