"""Cancel in mid-run, worker killed in mid-run, second delivery: by API, on a real stack."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from base_models.demo.dataset import dataset_rows
from tests.flows.client import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture(scope="module")
def api(stack):
    found = Api(stack, "flow-breaker")
    text = "\n".join(json.dumps(row) for row in dataset_rows())
    status, dataset = found.upload("Guide", Path("guide.jsonl"), text.encode())
    assert status == 201, dataset
    found.dataset = dataset["id"]
    return found


def start_long_job(api: Api, name: str) -> dict:
    """A job that would take many minutes, once it has done its first steps."""
    job = api.train(name, api.dataset, epochs=100, min_steps=5000)
    return api.wait(job["id"], lambda job: job["step"] >= 2)


def engines(stack) -> list[psutil.Process]:
    """The trainings below this Apex; another one may run on the same machine."""
    found = []
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        try:
            if "training.engine" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def kinds(api: Api, job: dict) -> list[str]:
    """The history of a job."""
    status, history = api.call("GET", f"/api/v1/training/jobs/{job['id']}/events/?page_size=200")
    assert status == 200
    return [event["kind"] for event in history["results"]]


def test_cancelling_in_mid_run_ends_the_child_and_stays(stack, api):
    job = start_long_job(api, "To be cancelled")
    assert engines(stack)
    status, answer = api.call("POST", f"/api/v1/training/jobs/{job['id']}/cancel/")
    assert (status, answer["status"]) == (200, "cancelled")
    stack.wait_until(lambda: not engines(stack), "the engine to end", 20)
    time.sleep(1)
    assert api.job(job["id"])["status"] == "cancelled"


def test_a_job_whose_worker_is_killed_goes_on_by_itself(stack, api):
    job = start_long_job(api, "To be interrupted")
    begun = time.monotonic()
    os.kill(stack.pid("worker-cpu"), signal.SIGKILL)
    stack.wait_until(lambda: not engines(stack), "the engine to end with its worker", 10)
    stack.wait_until(lambda: kinds(api, job).count("job.started") == 2, "another attempt")
    assert time.monotonic() - begun < 60
    stack.wait_until(lambda: kinds(api, job).count("training.started") == 2, "the training to go on", 180)
    assert "job.requeued" in kinds(api, job) and api.job(job["id"])["status"] == "running"
    api.call("POST", f"/api/v1/training/jobs/{job['id']}/cancel/")
    stack.wait_until(lambda: not engines(stack), "the engine to end", 20)


def test_a_second_delivery_of_the_task_does_nothing(stack, api):
    job = start_long_job(api, "Delivered twice")
    stack.manage(
        "shell", "-v0", "-c",
        "from celery import current_app; "
        "[current_app.send_task('training.tasks.work_on_queue', kwargs={'queue': 'cpu'}, queue=queue) "
        "for queue in ('cpu', 'cpu', 'default')]",
    )  # fmt: skip
    time.sleep(3)
    assert len(engines(stack)) == 1
    assert kinds(api, job).count("job.started") == 1
    assert api.job(job["id"])["status"] == "running"
    api.call("POST", f"/api/v1/training/jobs/{job['id']}/cancel/")
    stack.wait_until(lambda: not engines(stack), "the engine to end", 20)
