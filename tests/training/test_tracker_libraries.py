"""Trackers by their own libraries: with the real ones where they are installed, and what they are called with."""

import json
import sqlite3
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.training.factories import make_metrics
from training.models import JobEvent, Status, TrainingJob
from training.trackers import forwarding, wandb_files
from training.trackers.base import Run, TrackerAway
from training.trackers.trackio import Trackio
from training.trackers.wandb import WandB

pytestmark = pytest.mark.django_db(transaction=True)


def train_in_two_attempts(job) -> None:
    """An attempt that is given back at step 30, and one that goes on from 20 to the end at 50."""
    make_metrics(job, [{"step": step, "loss": 1 / step, "learning_rate": 1e-4} for step in range(1, 31)])
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.RUNNING)
    with forwarding.forwarding(job):
        pass
    time.sleep(1.1)  # W&B names its directories by the second
    make_metrics(job, [{"step": step, "loss": 1 / step, "learning_rate": 1e-4} for step in range(21, 51)])
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.SUCCEEDED)
    with forwarding.forwarding(job):
        pass


def test_wandb_keeps_one_run_offline_with_every_step_once(job, settings, monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    settings.TRACKER = "wandb"
    monkeypatch.setattr(forwarding, "EVERY_SECONDS", 0.05)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "5" * 40)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    train_in_two_attempts(job)
    files = sorted(tmp_path.glob(f"wandb/offline-run-*-{job.pk}/run-{job.pk}.wandb"))
    rows = [row for path in files for row in wandb_files.read_history(path)]
    assert len(files) == 2 and [row["_step"] for row in rows] == list(range(1, 51))
    assert [row["loss"] for row in rows] == [1 / step for step in range(1, 51)]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"5" * 40 not in written and b"apex.job" in written
    assert not JobEvent.objects.filter(kind="training.log").exists()


def test_trackio_keeps_one_run_with_every_step_once(job, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read when it is imported
    pytest.importorskip("trackio")
    settings.TRACKER = "trackio"
    monkeypatch.setattr(forwarding, "EVERY_SECONDS", 0.05)
    train_in_two_attempts(job)
    (path,) = tmp_path.glob("Apex*.db")
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT run_id, run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        (config,) = database.execute("SELECT config FROM configs").fetchall()
    assert [step for _, _, step, _ in found] == list(range(1, 51))
    assert {(run, name) for run, name, _, _ in found} == {(str(job.pk), "Coach")}
    assert json.loads(found[-1][3]) == {"loss": 0.02, "learning_rate": 1e-4}
    assert "apex.job" in str(config[0])


@pytest.mark.parametrize("kind, module", [(WandB, "wandb"), (Trackio, "trackio.sqlite_storage")])
def test_a_library_that_is_not_installed_is_named_with_what_to_do(kind, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TrackerAway, match=f"pip install {module.split('.')[0]}, and restart Apex"):
        kind().open(Run(job="j", name="n", owner="o"))


class StandIn:
    """W&B's library as far as it is called; a server that has had steps up to 6."""

    Settings = staticmethod(dict)
    errors = SimpleNamespace(
        UsageError=type("UsageError", (Exception,), {}), CommError=type("CommError", (Exception,), {})
    )

    def __init__(self, problem=None):
        self.problem, self.told, self.ends = problem, [], []
        self.offline, self.starting_step, self.summary = False, 7, {}

    def init(self, **asked):
        if self.problem:
            raise self.problem
        self.asked = asked
        return self

    def log(self, numbers, *, step, commit):
        self.told.append((step, numbers, commit))

    def mark_preempting(self):
        self.ends.append("preempting")

    def finish(self, *, exit_code):
        self.ends.append(exit_code)


@pytest.fixture
def wandb(monkeypatch):
    library = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", library)
    return library


def test_wandb_goes_on_behind_the_steps_that_its_server_has(wandb, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    tracker = WandB({"WANDB_PROJECT": "Ours"})
    assert tracker.open(Run(job="j", name="n", owner="o", params={"method": "sft"})) == 6
    asked = wandb.asked
    assert (asked["id"], asked["resume"], asked["project"]) == ("j", "allow", "Ours")
    assert asked["config"] == {"method": "sft", "apex.job": "j", "apex.owner": "o"}
    assert asked["settings"]["console"] == "off" and Path(asked["dir"]) == tmp_path / "trackers"
    tracker.log(
        [{"step": 7, "time": 1.7e9, "loss": 1.0, "eval_loss": None}, {"step": 8, "time": None, "loss": 0.5}]
    )
    assert wandb.told == [(7, {"loss": 1.0, "_timestamp": 1.7e9}, True), (8, {"loss": 0.5}, True)]


@pytest.mark.parametrize(
    "status, ends",
    [("succeeded", [0]), ("failed", [1]), ("running", ["preempting", 1]), ("paused", ["preempting", 1])],
)
def test_wandb_is_told_how_an_attempt_ended(wandb, settings, tmp_path, status, ends):
    settings.DATA_DIR = tmp_path
    tracker = WandB({})
    tracker.open(Run(job="j", name="n", owner="o"))
    tracker.close(status)
    assert wandb.ends == ends and wandb.summary == {"apex.status": status}


@pytest.mark.parametrize("name, words", [("UsageError", "WANDB_API_KEY"), ("CommError", "does not answer")])
def test_what_wandb_says_of_a_problem_is_not_passed_on(wandb, settings, tmp_path, name, words):
    settings.DATA_DIR = tmp_path
    wandb.problem = getattr(wandb.errors, name)("the key abc-secret is wrong")
    with pytest.raises(TrackerAway, match=words) as caught:
        WandB({}).open(Run(job="j", name="n", owner="o"))
    assert "abc-secret" not in str(caught.value)


def chunk(kind: int, content: bytes) -> bytes:
    return bytes(4) + len(content).to_bytes(2, "little") + bytes([kind]) + content


def test_records_are_read_over_blocks_up_to_where_the_file_was_cut(tmp_path):
    path = tmp_path / "run.wandb"
    first, second = b"a" * 40_000, b"b" * 10
    head = 32768 - 7 - 7
    whole = b":W&B\x00\x00\x00" + chunk(2, first[:head]) + chunk(4, first[head:]) + chunk(1, second)
    path.write_bytes(whole)
    assert list(wandb_files.read_records(path)) == [first, second]
    path.write_bytes(whole[:-3])
    assert list(wandb_files.read_records(path)) == [first]
