"""Checkpoints, and attempts that go on from them; pausing; a worker or a database that goes away. Real children."""

import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.utils import timezone

from apex.common import files
from tests.training.test_execution import WHOLE, is_running, wait_for
from training import execution, following, keeping, leases, persisting, recording, services, sweeping
from training.metrics.store import StoredSteps
from training.models import (
    Attempt,
    Checkpoint,
    Discarded,
    JobEvent,
    Sample,
    Status,
    TrainingJob,
)

pytestmark = pytest.mark.django_db(transaction=True)

DIES_AT_4 = """
first = resumed()
started(6)
for n in range(first + 1, 7):
    step(n, 2.0 - n / 10)
    if n % 2 == 0:
        checkpoint(n)
    if first == 0 and n == 5:
        time.sleep(0.5); import os; os.kill(os.getpid(), 9)
finished()
"""


@pytest.fixture(autouse=True)
def own_storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "artifacts"},
        },
    }
    settings.ARTIFACT_CACHE = tmp_path / "cache"


def execute(job) -> TrainingJob:
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    return job


def steps_of(job) -> list[int]:
    """The steps whose numbers are kept, in order."""
    return [row["step"] for row in StoredSteps(job)]


def at_work(job) -> threading.Thread:
    """The job in a thread, once its first step is written."""
    worker = threading.Thread(target=execution.execute_job, args=[str(job.pk)])
    worker.start()
    wait_for(lambda: 1 in steps_of(job))
    return worker


def stored_files(settings) -> set[str]:
    return {
        path.name
        for path in Path(settings.STORAGES["artifacts"]["OPTIONS"]["location"]).rglob("*")
        if path.is_file()
    }


def damage(checkpoint: Checkpoint) -> None:
    path = files.local_path(checkpoint.directory_sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_an_attempt_goes_on_where_the_last_one_saved(job, engine_says):
    engine_says(DIES_AT_4)
    assert execute(job).status == Status.QUEUED
    assert "go on from step 4" in job.events.get(kind="job.requeued").message
    assert execute(job).status == Status.SUCCEEDED
    second, first = Attempt.objects.filter(job=job)
    assert (first.resumed_step, first.last_step, first.outcome) == (0, 5, "requeued")
    assert (second.resumed_step, second.last_step) == (4, 6)
    assert steps_of(job) == [1, 2, 3, 4, 5, 6]
    assert "Going on from step 4" in job.events.filter(kind="training.started").last().message
    assert job.events.filter(kind="training.checkpoint").count() == 2


def test_no_step_is_shown_before_the_checkpoint_that_lies_before_it_is_stored(job, engine_says, monkeypatch):
    shown, write_row = [], keeping.Keeper.write_row

    def look_and_write(keeper, event, stored):
        shown.append((event["step"], steps_of(job)[-1]))
        write_row(keeper, event, stored)

    monkeypatch.setattr(keeping.Keeper, "write_row", look_and_write)
    engine_says("""
started(9)
for n in range(1, 10):
    step(n, 2.0 - n / 10)
    if n % 3 == 0:
        checkpoint(n)
finished()
""")
    assert execute(job).status == Status.SUCCEEDED
    assert shown == [(3, 3), (6, 6), (9, 9)]


def test_a_damaged_checkpoint_is_marked_and_the_one_before_is_used(job, engine_says):
    engine_says(DIES_AT_4)
    execute(job)
    damage(Checkpoint.objects.get(job=job, step=4))
    assert execute(job).status == Status.SUCCEEDED
    assert Attempt.objects.filter(job=job).first().resumed_step == 2
    said = job.events.get(kind="training.checkpoint_damaged").message
    assert "step 4" in said and "from step 2 instead" in said


@pytest.mark.parametrize("spoil", [damage, lambda row: files.delete_stored(row.directory_sha256)])
def test_without_any_good_checkpoint_it_begins_anew(job, engine_says, spoil):
    engine_says("started(); step(1, 2.0); checkpoint(1); time.sleep(0.5); import os; os.kill(os.getpid(), 9)")
    execute(job)
    spoil(Checkpoint.objects.get(job=job))
    engine_says(WHOLE)
    assert execute(job).status == Status.SUCCEEDED
    assert "again from the start" in job.events.get(kind="training.checkpoint_damaged").message


def test_a_checkpoint_that_the_engine_cannot_read_is_marked_too(job, engine_says):
    engine_says(DIES_AT_4)
    execute(job)
    engine_says(
        "if resumed() == 4:\n"
        "    say(event='failed', reason='bad_checkpoint', message='Half is missing.', advice=''); sys.exit(1)\n"
        + DIES_AT_4
    )
    assert execute(job).status == Status.QUEUED
    assert Checkpoint.objects.get(job=job, step=4).is_damaged
    assert "go on from step 2" in job.events.filter(kind="job.requeued").last().message
    assert execute(job).status == Status.SUCCEEDED
    assert Attempt.objects.filter(job=job).first().resumed_step == 2


def test_only_the_newest_two_and_the_best_are_kept_with_their_files(job, engine_says, settings):
    before = stored_files(settings)
    engine_says(
        "started(9)\nfor n in range(1, 10):\n    step(n, 1.0); checkpoint(n, is_best=n == 3, eval_loss=1.0)\nfinished()"
    )
    assert execute(job).status == Status.SUCCEEDED
    rows = Checkpoint.objects.filter(job=job)
    assert [(row.step, row.is_best) for row in rows] == [(9, False), (8, False), (3, True)]
    kept = {row.directory_sha256 for row in rows} | {job.adapter.directory_sha256}
    assert stored_files(settings) - before == kept
    assert job.events.get(kind="training.checkpoint").data["count"] == 9


def test_a_new_best_takes_the_place_of_the_old(job, engine_says):
    engine_says(
        "started(9)\nfor n in range(1, 10):\n    step(n, 1.0); checkpoint(n, is_best=n < 4)\nfinished()"
    )
    execute(job)
    assert [row.step for row in Checkpoint.objects.filter(job=job, is_best=True)] == [3]
    assert Checkpoint.objects.filter(job=job).count() == 3


def test_bytes_that_another_row_uses_stay(job, engine_says):
    stored = files.put_bytes(b"the same")
    for step in (1, 2):
        Checkpoint.objects.create(job=job, token=1, step=step, directory_sha256=stored.sha256)
    Checkpoint.objects.filter(step=1).delete()
    with files.open_stored(stored.sha256) as file:
        assert file.read() == b"the same"


def test_bytes_that_nobody_lived_to_remove_go_a_day_later(job, monkeypatch, settings):
    before = stored_files(settings)
    stored, again = files.put_bytes(b"pruned"), files.put_bytes(b"pruned, and stored once more")
    for step, kept in enumerate((stored, again), start=1):
        row = Checkpoint.objects.create(job=job, token=1, step=step, directory_sha256=kept.sha256)
        with monkeypatch.context() as dying:
            dying.setattr(files, "delete_stored", Mock(side_effect=OSError("killed")))
            row.delete()
    assert stored_files(settings) == before | {stored.sha256, again.sha256}
    Checkpoint.objects.create(job=job, token=1, step=2, directory_sha256=again.sha256)
    sweeping.keep_order()
    assert stored.sha256 in stored_files(settings)  # whoever noted it may still be at it
    Discarded.objects.update(noted_at=timezone.now() - timedelta(hours=25))
    sweeping.keep_order()
    assert stored_files(settings) == before | {again.sha256} and not Discarded.objects.exists()


def test_deleting_a_job_deletes_what_it_saved(job, engine_says, settings):
    before = stored_files(settings)
    engine_says("started(); step(1, 1.0); checkpoint(1); finished()")
    execute(job)
    services.delete_job(job=job)
    assert stored_files(settings) == before


def test_the_folder_of_a_checkpoint_goes_once_it_is_stored(job, engine_says):
    engine_says(
        "started(); step(1, 1.0); checkpoint(1)\n"
        "until = time.monotonic() + 10\n"
        "while list(pathlib.Path(run['checkpoints_dir']).iterdir()) and time.monotonic() < until: time.sleep(0.05)\n"
        "assert not list(pathlib.Path(run['checkpoints_dir']).iterdir())\nfinished()"
    )
    assert execute(job).status == Status.SUCCEEDED


def test_a_full_disk_fails_in_clear_words_and_leaves_nothing(job, engine_says, monkeypatch, settings):
    before = stored_files(settings)

    def full(stored, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "keep", full)
    engine_says("started(); step(1, 1.0); checkpoint(1); time.sleep(600)")
    assert execute(job).status == Status.FAILED
    assert job.reason == "disk_full" and "No space left" in job.message and "Make room" in job.advice
    assert stored_files(settings) == before and not Checkpoint.objects.exists()
    assert not list((Path(settings.DATA_DIR) / "work").glob(f"{job.pk}-*"))


def test_no_room_for_the_folder_fails_in_clear_words_too(job, engine_says, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execution, "run_description", full)
    assert execute(job).status == Status.FAILED
    assert (job.reason, "No space left" in job.message) == ("disk_full", True)


def test_rows_that_are_gone_fail_in_clear_words(job, engine_says):
    files.delete_stored(job.dataset_version.rows_sha256)
    assert execute(job).status == Status.FAILED
    assert (job.reason, "Letters" in job.message, bool(job.advice)) == ("data_gone", True, True)


def test_what_was_stored_for_a_job_that_is_lost_meanwhile_goes(job, engine_says, monkeypatch, settings):
    before = stored_files(settings)
    put_file = files.put_file

    def taken_over_meanwhile(path):
        TrainingJob.objects.filter(pk=job.pk).update(fence=99)
        return put_file(path)

    monkeypatch.setattr(files, "put_file", taken_over_meanwhile)
    engine_says("started(); step(1, 1.0); checkpoint(1); time.sleep(600)")
    execute(job)
    assert not Checkpoint.objects.exists() and stored_files(settings) == before


def test_pausing_saves_where_it_is_and_going_on_begins_there(job, engine_says):
    engine_says(
        "first = resumed(); started(); step(first + 1, 2.0)\n"
        "if not first:\n"
        "    assert told() == 'pause'; step(2, 1.9); checkpoint(2, reason='pause'); say(event='paused', step=2)\n"
        "    sys.exit(0)\n"
        "finished()"
    )
    worker = at_work(job)
    assert services.pause_job(job=TrainingJob.objects.get(pk=job.pk))
    worker.join(15)
    job.refresh_from_db()
    assert job.status == Status.PAUSED and not job.has_ended
    assert "Paused at step 2" in job.events.get(kind="training.paused").message
    assert Attempt.objects.get(job=job).outcome == "paused"
    assert services.resume_job(job=job) and job.status == Status.QUEUED
    assert execute(job).status == Status.SUCCEEDED
    assert Attempt.objects.filter(job=job).first().resumed_step == 2


def test_an_engine_that_ends_before_it_pauses_has_finished(job, engine_says):
    engine_says("started(); step(1, 2.0); told(); finished()")
    worker = at_work(job)
    services.pause_job(job=TrainingJob.objects.get(pk=job.pk))
    worker.join(15)
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED


def test_cancelling_while_it_pauses_ends_the_child(job, engine_says):
    engine_says("started(); step(1, 2.0); told(); step(2, 2.0); time.sleep(600)")
    worker = at_work(job)
    services.pause_job(job=TrainingJob.objects.get(pk=job.pk))
    wait_for(lambda: 2 in steps_of(job))
    assert services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    worker.join(15)
    job.refresh_from_db()
    assert job.status == Status.CANCELLED and not is_running(Attempt.objects.get(job=job).pid)


def test_a_worker_that_is_stopped_saves_and_gives_the_job_back(job, engine_says):
    engine_says(
        "started(); step(1, 2.0); assert told() == 'pause'; checkpoint(1, reason='pause'); say(event='paused', step=1)"
    )
    worker = at_work(job)
    persisting.shutting_down.set()
    try:
        worker.join(15)
    finally:
        persisting.shutting_down.clear()
    job.refresh_from_db()
    assert (job.status, job.tries_without_progress) == (Status.QUEUED, 0)
    assert "Apex was stopped at step 1" in job.events.get(kind="job.requeued").message


def test_a_worker_that_is_stopped_does_not_wait_long(job, engine_says, monkeypatch):
    monkeypatch.setattr(following, "STOP_SECONDS", 0.5)
    engine_says("started(); step(1, 2.0); time.sleep(600)")
    worker = at_work(job)
    persisting.shutting_down.set()
    try:
        worker.join(15)
    finally:
        persisting.shutting_down.clear()
    job.refresh_from_db()
    assert not worker.is_alive() and job.status == Status.QUEUED
    assert not is_running(Attempt.objects.get(job=job).pid)


def test_an_error_of_the_worker_gives_the_job_back(job, engine_says, monkeypatch):
    monkeypatch.setattr(recording.Recorder, "write_samples", lambda *a: 1 / 0)
    engine_says("started(); step(1, 2.0); time.sleep(600)")
    assert execute(job).status == Status.QUEUED
    assert job.tries_without_progress == 1 and "Apex itself broke" in job.events.last().message


def test_a_database_that_is_away_loses_nothing(job, engine_says, monkeypatch, settings):
    """It is away for longer than a lease; nobody took the job over, so everything is written later."""
    settings.TRAINING_LEASE_SECONDS = 1
    monkeypatch.setattr(persisting, "AWAY_SECONDS", 0.1)
    away_until = time.monotonic() + 3

    def while_away(write):
        def maybe(*args, **kwargs):
            if began.is_set() and time.monotonic() < away_until:
                raise OperationalError("database is locked")
            return write(*args, **kwargs)

        return maybe

    began = threading.Event()
    for module, name in ((leases, "hold"), (leases, "look"), (leases, "beat"), (keeping, "note_storing")):
        monkeypatch.setattr(module, name, while_away(getattr(module, name)))
    engine_says(
        "started(9)\nfor n in range(1, 10):\n    step(n, 1.0); time.sleep(0.05)\ncheckpoint(9); finished()"
    )
    began.set()
    assert execute(job).status == Status.SUCCEEDED
    assert steps_of(job) == list(range(1, 10))
    assert time.monotonic() > away_until and Checkpoint.objects.get(job=job).step == 9


def test_what_the_engine_says_on_the_way_is_kept(job, engine_says):
    said = [{"question": "q", "answer": "first", "expected": "a"}]
    engine_says(
        f"said = {json.dumps(said)}\n"
        "started(); check(0, 2.0); step(1, 1.0); check(1, 1.2); say(event='sampled', step=1, samples=said)\n"
        "said[0]['answer'] = 'again'; say(event='sampled', step=1, samples=said); step(2, 1.0); check(2, 1.4)\n"
        "say(event='batch_halved', step=2, tokens_per_pass=512, message='Memory ran out; passes of 512 tokens now.')\n"
        "say(event='early_stopped', step=2, best_step=1, message='It stopped getting better.')\nfinished()"
    )
    execute(job)
    assert (job.best_step, job.best_eval_loss) == (1, 1.2)
    assert Sample.objects.get(job=job).answer == "again"
    kinds = list(
        JobEvent.objects.filter(job=job, kind__startswith="training.").values_list("kind", flat=True)
    )
    assert kinds == ["training.started", "training.batch_halved", "training.early_stopped"]


@pytest.mark.parametrize(
    ("status", "can_pause", "can_resume", "can_cancel"),
    [
        (Status.QUEUED, True, False, True),
        (Status.RUNNING, True, False, True),
        (Status.PAUSING, False, False, True),
        (Status.PAUSED, False, True, True),
        (Status.SUCCEEDED, False, False, False),
        (Status.FAILED, False, False, False),
        (Status.CRASHED, False, False, False),
        (Status.CANCELLED, False, False, False),
    ],
)
def test_what_can_be_asked_in_each_state(job, status, can_pause, can_resume, can_cancel):
    for act, can in (
        (services.pause_job, can_pause),
        (services.resume_job, can_resume),
        (services.cancel_job, can_cancel),
    ):
        TrainingJob.objects.filter(pk=job.pk).update(status=status)
        assert act(job=TrainingJob.objects.get(pk=job.pk)) == can
