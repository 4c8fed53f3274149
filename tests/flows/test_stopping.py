"""Ctrl-C while a training runs: nothing is left behind, and after the next start it goes on."""

import json
from pathlib import Path

import pytest

from base_models.demo.dataset import dataset_rows
from tests.flows.client import Api
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_ctrl_c_in_mid_run_ends_the_training_and_the_next_start_goes_on_with_it(tmp_path):
    stack = Stack(tmp_path / "data").start()
    try:
        api = Api(stack, "olga")
        text = "\n".join(json.dumps(row) for row in dataset_rows())
        status, dataset = api.upload("Guide", Path("guide.jsonl"), text.encode())
        assert status == 201, dataset
        job = api.train("To be stopped", dataset["id"], epochs=100, min_steps=5000)
        api.wait(job["id"], lambda job: job["step"] >= 1)
        stack.note_processes()
        noted = [" ".join(process.cmdline()) for process in stack.seen.values() if process.is_running()]
        assert any("training.engine" in command for command in noted), "the training is among what must end"
    finally:
        assert stack.stop() == 0  # which fails if any process is left, the training's too

    with stack:
        history = f"/api/v1/training/jobs/{job['id']}/events/"
        stack.wait_until(
            lambda: (
                [e["kind"] for e in api.call("GET", history)[1]["results"]].count("training.started") == 2
            ),
            "the training to go on",
            180,
        )
        assert "job.requeued" in [event["kind"] for event in api.call("GET", history)[1]["results"]]
        assert api.job(job["id"])["status"] == "running"
        api.call("POST", f"/api/v1/training/jobs/{job['id']}/cancel/")
