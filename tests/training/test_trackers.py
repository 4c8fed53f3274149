"""What a tracker is told of a training, and that it never stands in its way."""

import logging
import time

import pytest

from tests.training.factories import make_metrics
from tests.training.mlflow_server import mlflow_server
from training import execution, trackers
from training.models import JobEvent, Status, TrainingJob
from training.system_checks import tracker_is_known
from training.trackers import forwarding
from training.trackers.mlflow import MLflow

pytestmark = pytest.mark.django_db(transaction=True)
TRAINING = """
started()
check(0, 2.0)
for n in (1, 2, 3):
    step(n, 2.0 - n / 4)
check(3, 1.0)
finished()
"""


@pytest.fixture
def server(settings, monkeypatch):
    settings.TRACKER = "mlflow"
    monkeypatch.setattr(forwarding, "EVERY_SECONDS", 0.05)
    with mlflow_server() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "very-secret")
        yield server


def points(run: dict) -> list[tuple]:
    metrics = run["data"]["metrics"]
    return sorted((metric["key"], metric["step"], metric["value"]) for metric in metrics)


def test_a_training_is_one_run_with_every_number_of_every_step(job, engine_says, server):
    engine_says(TRAINING)
    execution.execute_job(str(job.pk))
    (run,) = server.runs.values()
    assert run["info"] == {"run_id": run["info"]["run_id"], "status": "FINISHED", "run_name": "Coach"}
    assert run["data"]["tags"]["apex.job"] == str(job.pk) and run["data"]["params"]["method"] == "sft"
    told = points(run)
    assert [point for point in told if point[0] == "loss"] == [
        ("loss", 1, 1.75),
        ("loss", 2, 1.5),
        ("loss", 3, 1.25),
    ]
    assert [point for point in told if point[0] == "eval_loss"] == [
        ("eval_loss", 0, 2.0),
        ("eval_loss", 3, 1.0),
    ]
    assert len(told) == len(set(told)) and list(server.experiments) == ["Apex"]
    assert {authorization for _, authorization, _ in server.calls} == {"Bearer very-secret"}


def test_a_job_that_goes_on_goes_on_in_its_run_and_sends_what_was_missing(job, server):
    make_metrics(job, [{"step": step, "loss": 1.0} for step in range(1, 300)])
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.RUNNING)
    with forwarding.forwarding(job):
        pass
    (run,) = server.runs.values()
    # The newest step is held back: a check of it may still come.
    assert [step for _, step, _ in points(run)] == list(range(1, 299)) and run["info"]["status"] == "RUNNING"
    make_metrics(job, [{"step": step, "loss": 1.0} for step in range(250, 400)])
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.SUCCEEDED)
    with forwarding.forwarding(job):
        pass
    assert list(server.runs) == [run["info"]["run_id"]]
    assert [step for _, step, _ in points(run)] == list(range(1, 400)) and run["info"]["status"] == "FINISHED"


def test_a_tracker_that_is_away_for_a_while_misses_nothing(job, server):
    server.is_away = True
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.SUCCEEDED)
    with forwarding.forwarding(job):
        make_metrics(job, [{"step": step, "loss": 1.0} for step in range(1, 50)])
        wait_for(lambda: len(server.calls) > 1)
        server.is_away = False
    (run,) = server.runs.values()
    assert [step for _, step, _ in points(run)] == list(range(1, 50))
    assert not JobEvent.objects.filter(kind="training.log").exists()


def test_a_tracker_that_stays_away_costs_the_training_nothing_and_the_history_says_so(
    job, engine_says, server, monkeypatch, caplog
):
    monkeypatch.setattr(forwarding, "LAST_SECONDS", 1.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://name:pass-word@127.0.0.1:9")
    engine_says(TRAINING)
    with caplog.at_level(logging.DEBUG):
        execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED
    (said,) = JobEvent.objects.filter(job=job, kind="training.log")
    assert "has not been told of 4 steps: 127.0.0.1 does not answer" in said.message
    assert not any(secret in caplog.text + said.message for secret in ("very-secret", "pass-word"))


def test_a_tracker_that_breaks_costs_the_training_nothing(job, engine_says, settings, monkeypatch):
    class Broken:
        name = "Broken"

        def open(self, run):
            raise RuntimeError("http://user:pass-word@host")

    settings.TRACKER = "broken"
    monkeypatch.setitem(trackers.TRACKERS, "broken", Broken)
    monkeypatch.setattr(forwarding, "LAST_SECONDS", 0.5)
    engine_says(TRAINING)
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED
    message = JobEvent.objects.get(job=job, kind="training.log").message
    assert "RuntimeError" in message and "pass-word" not in message


def test_many_numbers_go_in_calls_that_mlflow_takes(server):
    tracker = MLflow()
    tracker.experiment = "Other"
    assert tracker.open(forwarding.Run(job="j", name="n", owner="o", params={"a": "x" * 9000})) == -1
    tracker.log([{"step": step, "time": 1.7e9, **{f"s{i}": 0.1 for i in range(9)}} for step in range(250)])
    sizes = [len(content["metrics"]) for path, _, content in server.calls if content.get("metrics")]
    assert sum(sizes) == 2250 and max(sizes) <= 1000
    (run,) = server.runs.values()
    assert len(run["data"]["params"]["a"]) == 6000
    assert MLflow().open(forwarding.Run(job="other", name="n", owner="o")) == -1


def test_a_name_that_is_no_tracker_is_told_at_the_start(settings):
    settings.TRACKER = "mlfow"
    (problem,) = tracker_is_known(None)
    assert "'mlfow'" in problem.msg and "mlflow" in problem.msg
    settings.TRACKER = ""
    assert tracker_is_known(None) == []


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
