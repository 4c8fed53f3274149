"""Ctrl-C while a training runs: nothing is left behind, and the next start tells what became of the job."""

import json
from pathlib import Path

import pytest

from base_models.demo.dataset import dataset_rows
from tests.flows.client import Api
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_ctrl_c_in_mid_run_ends_the_training_and_the_row_says_so(tmp_path):
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
        ended = api.wait(job["id"], lambda job: job["status"] == "crashed", seconds=60)
        assert ended["message"]
        assert ended["advice"]
