"""A worker with a real child process; what the child says is scripted."""

import os
import threading
import time

import pytest

from accounts.models import Notice
from apex.common import files
from training import execution, following, leases, services, sweeping
from training.metrics.store import StoredSteps
from training.models import Adapter, Attempt, JobEvent, MetricBlock, Status, TrainingJob

pytestmark = pytest.mark.django_db(transaction=True)

WHOLE = """
started()
check(0, 2.0)
for n in (1, 2, 3):
    step(n, 2.0 - n / 4)
check(3, 1.0)
finished()
"""


def test_a_training_that_ends_well_leaves_an_adapter_with_its_lineage(job, engine_says):
    engine_says(WHOLE)
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert (job.status, job.step, job.total_steps) == (Status.SUCCEEDED, 3, 3)
    assert (job.eval_loss_base, job.eval_loss) == (2.0, 1.0)
    adapter = job.adapter
    assert adapter.owner == job.owner and adapter.dataset_version == job.dataset_version
    assert (
        adapter.model_id.startswith("ft:tiny:alice:coach:") and len(adapter.model_id.rpartition(":")[2]) == 8
    )
    assert (files.local_directory(adapter.directory_sha256) / "adapter_config.json").exists()
    assert Notice.objects.get(owner=job.owner).url == f"/training/{job.pk}/"


def test_every_step_is_kept_once_with_its_check(job, engine_says):
    engine_says(WHOLE)
    execution.execute_job(str(job.pk))
    rows = [(row["step"], row.get("loss"), row.get("eval_loss")) for row in StoredSteps(job)]
    assert rows == [(0, None, 2.0), (1, 1.75, None), (2, 1.5, None), (3, 1.25, 1.0)]


def test_a_second_delivery_is_skipped(job, engine_says):
    engine_says(WHOLE)
    execution.execute_job(str(job.pk))
    execution.execute_job(str(job.pk))
    assert Attempt.objects.filter(job=job).count() == 1
    assert Adapter.objects.count() == 1


def test_the_reason_of_a_failure_reaches_the_row_with_advice_and_log(job, engine_says):
    engine_says(
        "print('deep trouble', file=sys.stderr)\n"
        "say(event='failed', reason='bad_data', message='Line 7 is empty.', advice='Mend line 7.')\nsys.exit(1)"
    )
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert (job.status, job.reason, job.message, job.advice) == (
        Status.FAILED, "bad_data", "Line 7 is empty.", "Mend line 7.",
    )  # fmt: skip
    assert "deep trouble" in job.log_tail


def test_a_child_that_dies_without_a_word_is_tried_again_and_at_last_a_crash(job, engine_says, settings):
    settings.TRAINING_TRIES = 3
    engine_says("print('so close', file=sys.stderr); started(); import os; os.kill(os.getpid(), 9)")
    for _ in range(2):
        execution.execute_job(str(job.pk))
        job.refresh_from_db()
        assert job.status == Status.QUEUED
    said = job.events.get(kind="job.requeued", data__token=2).message
    assert "signal 9" in said and "begin again from the start" in said
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.CRASHED, "engine_died")
    assert "signal 9" in job.message and "3 times" in job.message and job.advice
    assert "so close" in job.log_tail and Notice.objects.get(owner=job.owner)


def test_noise_on_the_childs_output_harms_nothing(job, engine_says):
    engine_says("print('hello'); print('[1]'); print('{\"a\": 1}')" + WHOLE)
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED


def test_numbers_that_are_not_finite_are_kept_as_unknown(job, engine_says):
    engine_says("started(); step(1, float('nan')); finished()")
    execution.execute_job(str(job.pk))
    assert [(row["step"], row.get("loss"), row["epoch"]) for row in StoredSteps(job)] == [(1, None, 1 / 3)]


def test_cancelling_ends_the_child_and_stays(job, engine_says):
    engine_says("started(); step(1, 2.0); time.sleep(600)")
    worker = threading.Thread(target=execution.execute_job, args=[str(job.pk)])
    worker.start()
    attempt = wait_for(lambda: Attempt.objects.filter(job=job, pid__isnull=False).first())
    wait_for(lambda: MetricBlock.objects.filter(job=job).exists())
    assert services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    worker.join(15)
    assert not worker.is_alive()
    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    assert not is_running(attempt.pid)
    attempt.refresh_from_db()
    assert attempt.outcome == Status.CANCELLED and attempt.ended_at


def test_a_worker_back_from_the_dead_writes_nothing(job, engine_says):
    attempt = leases.claim(str(job.pk), "w")
    TrainingJob.objects.filter(pk=job.pk).update(fence=attempt.token + 1)
    with pytest.raises(leases.LeaseLost):
        leases.hold(attempt, step=99)
    with pytest.raises(leases.LeaseLost):
        leases.finish(attempt, Status.SUCCEEDED, message="")
    job.refresh_from_db()
    assert (job.status, job.step) == (Status.RUNNING, 0)


def test_finishing_never_overwrites_cancelled(job):
    attempt = leases.claim(str(job.pk), "w")
    assert services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    with pytest.raises(leases.LeaseLost):
        leases.finish(attempt, Status.SUCCEEDED, message="")
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


def test_packing_may_take_longer_than_the_lease(job, engine_says, monkeypatch, settings):
    settings.TRAINING_LEASE_SECONDS, settings.TRAINING_HEARTBEAT_SECONDS = 1, 0.2
    put_directory = files.put_directory

    def slowly(path):
        time.sleep(2)
        assert sweeping.take_back_lost_jobs() == 0
        return put_directory(path)

    monkeypatch.setattr(files, "put_directory", slowly)
    engine_says(WHOLE)
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED


def test_what_a_killed_worker_left_behind_is_cleared(job, engine_says, settings):
    leftover = settings.DATA_DIR / "work" / "00000000-0000-0000-0000-000000000000-abc"
    stray = settings.DATA_DIR / "work" / "stray"  # a name that is no job's must not stop a training
    leftover.mkdir(parents=True)
    stray.mkdir(parents=True)
    engine_says(WHOLE)
    execution.execute_job(str(job.pk))
    assert not leftover.exists() and not stray.exists()
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED


def test_a_job_that_is_stopped_and_deleted_ends_quietly(job, engine_says):
    engine_says("started(); step(1, 2.0); time.sleep(600)")
    worker = threading.Thread(target=execution.execute_job, args=[str(job.pk)])
    worker.start()
    wait_for(lambda: MetricBlock.objects.filter(job=job).exists())
    services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    services.delete_job(job=TrainingJob.objects.get(pk=job.pk))
    worker.join(15)
    assert not worker.is_alive() and not TrainingJob.objects.exists()


def test_history_is_a_query(job, engine_says):
    engine_says(WHOLE)
    execution.execute_job(str(job.pk))
    kinds = list(JobEvent.objects.filter(job=job).values_list("kind", flat=True))
    assert kinds == ["job.queued", "job.started", "training.started", "job.succeeded"]


def wait_for(condition, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_end_of_the_log_is_kept_while_it_runs(job, engine_says, monkeypatch):
    monkeypatch.setattr(following, "LOG_SECONDS", 0.1)
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)
    engine_says("print('reading the rows', file=sys.stderr)\nstarted(); step(1, 2.0); time.sleep(600)")
    worker = threading.Thread(target=execution.execute_job, args=[str(job.pk)])
    worker.start()
    found = wait_for(lambda: TrainingJob.objects.filter(pk=job.pk, log_tail__contains="reading").first())
    assert found.status == Status.RUNNING
    services.cancel_job(job=found)
    worker.join(15)
    assert not worker.is_alive()
