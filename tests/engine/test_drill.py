"""The drill: a whole training of seconds, its events, and that a stopped one ends as one that was not."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.engine.tiny import ROOT, run_engine
from training.engine.config import TrainingConfig
from training.engine.control import Control, Paused
from training.engine.drill_config import DrillConfig
from training.engine.errors import EngineError
from training.engine.manifests import file_sha256, verify
from training.engine.recipes import drill
from training.engine.recipes.drill_learner import DrillLearner
from training.engine.recipes.drill_optimizer import SmallAdamW

CURVE = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens")


class Kept:
    """A reporter that keeps what it is told; `at` runs when an event of that name and step is said."""

    def __init__(self, at=None):
        self.events = []
        self.at = at or {}

    def report(self, event, **fields):
        self.events.append({"event": event, **fields})
        if call := self.at.get((event, fields.get("step"))):
            call()

    def named(self, name):
        return [event for event in self.events if event["event"] == name]

    def curve(self):
        steps = [tuple(event[name] for name in CURVE) for event in self.named("step")]
        return steps, [(event["step"], event["eval_loss"]) for event in self.named("evaluated")]


def description(directory, **changes):
    return {
        "method": "drill", "base_model_dir": "/nowhere", "rows_path": "/nowhere", "output_dir": str(directory / "out"),
        "checkpoints_dir": str(directory / "checkpoints"), **changes,
    }  # fmt: skip


def train(directory, *, at=None, control=None, resume_from=None, **config):
    kept = Kept(at)
    run = description(directory, resume_from=resume_from)
    drill.run(run, DrillConfig.from_dict(config, "drill"), kept, control or Control())
    return kept


def adapter_sha256(directory):
    return file_sha256(directory / "out" / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    return train(directory), adapter_sha256(directory)


def test_it_learns_and_says_every_event_of_a_quiet_training(undisturbed):
    kept, _ = undisturbed
    assert [event["event"] for event in kept.events[:4]] == ["started", "evaluated", "sampled", "step"]
    assert {event["event"] for event in kept.events} == {
        "started", "evaluated", "sampled", "step", "checkpoint", "finished",
    }  # fmt: skip
    finished = kept.events[-1]
    assert finished["eval_loss"] < 0.7 * finished["eval_loss_base"]
    assert finished["eval_loss"] == min(event["eval_loss"] for event in kept.named("evaluated"))
    assert [event["step"] for event in kept.named("checkpoint")] == [10, 20, 30, 40]
    assert kept.named("checkpoint")[-1]["reason"] == "end"
    assert finished["tokens"] == 40 * 32


@pytest.mark.parametrize("step", [1, 7, 8, 9, 20, 39])
def test_paused_at_any_step_it_ends_in_the_same_bits(step, undisturbed, tmp_path):
    control = Control()
    before = Kept({("step", step): lambda: control.add("pause")})
    settings = DrillConfig.from_dict({}, "drill")
    with pytest.raises(Paused):
        drill.run(description(tmp_path), settings, before, control)
    assert before.events[-1] == {"event": "paused", "step": step}
    written = before.events[-2]
    assert (written["event"], written["step"], written["reason"]) == ("checkpoint", step, "pause")
    assert verify(written["path"])["step"] == step
    after = train(tmp_path, resume_from=written["path"])
    assert after.events[0]["resumed_step"] == step
    assert [a + b for a, b in zip(before.curve(), after.curve(), strict=True)] == list(undisturbed[0].curve())
    assert adapter_sha256(tmp_path) == undisturbed[1]
    for name in ("steps", "tokens", "eval_loss", "eval_loss_base", "best_step", "train_loss"):
        assert after.events[-1][name] == undisturbed[0].events[-1][name]


def test_from_the_checkpoint_of_the_end_only_the_adapter_is_written_again(undisturbed, tmp_path):
    first = train(tmp_path)
    again = train(tmp_path, resume_from=first.named("checkpoint")[-1]["path"])
    assert [event["event"] for event in again.events] == ["started", "finished"]
    assert adapter_sha256(tmp_path) == undisturbed[1]


def test_a_checkpoint_can_be_asked_for(tmp_path):
    control = Control()
    kept = train(tmp_path, steps=8, control=control, at={("step", 3): lambda: control.add("checkpoint")})
    assert [(event["step"], event["reason"]) for event in kept.named("checkpoint")] == [
        (3, "asked"),
        (8, "end"),
    ]


def test_checkpoints_come_by_their_own_steps_and_by_time(tmp_path):
    rare = {"steps": 12, "eval_steps": 100}
    by_steps = train(tmp_path / "a", checkpoint_steps=5, **rare)
    reasons = [(event["step"], event["reason"]) for event in by_steps.named("checkpoint")]
    assert reasons == [(5, "interval"), (10, "interval"), (12, "end")]
    by_time = train(
        tmp_path / "b", checkpoint_steps=100, checkpoint_minutes=0.001, seconds_per_step=0.03, **rare
    )
    steps = [event["step"] for event in by_time.named("checkpoint") if event["reason"] == "interval"]
    # Every 0.06 seconds, so after two steps or a few more, never after each.
    assert len(steps) >= 2 and all(b - a > 1 for a, b in zip(steps, steps[1:], strict=False))


def test_out_of_memory_halves_the_passes_and_the_halved_size_stays(tmp_path):
    first = train(tmp_path / "a", oom_above=10, steps=20)
    assert [(e["step"], e["tokens_per_pass"]) for e in first.named("batch_halved")] == [(1, 16), (1, 8)]
    assert "8 tokens at once instead of 16" in first.named("batch_halved")[1]["message"]
    ten = next(event["path"] for event in first.named("checkpoint") if event["step"] == 10)
    second = train(tmp_path / "b", oom_above=10, steps=20, resume_from=ten)
    assert not second.named("batch_halved")
    assert adapter_sha256(tmp_path / "b") == adapter_sha256(tmp_path / "a")
    # A smaller size from the start draws the same dropout as one that was found by halving.
    third = train(tmp_path / "c", tokens_per_pass=8, steps=20)
    assert third.curve() == first.curve()


def test_where_even_one_row_is_too_much_it_says_so(tmp_path):
    with pytest.raises(EngineError, match="longest example alone") as caught:
        train(tmp_path, oom_above=0)
    assert caught.value.reason == "out_of_memory" and caught.value.advice


def test_a_loss_that_is_no_number_ends_it(tmp_path):
    with pytest.raises(EngineError, match="step 5") as caught:
        train(tmp_path, nan_at_step=5)
    assert caught.value.reason == "nan_loss"


@pytest.mark.parametrize("step", [0, 20])
def test_a_held_out_loss_that_is_no_number_ends_it_too(step, tmp_path, monkeypatch):
    check, checks = DrillLearner.check, []

    def broken(learner):
        checks.append(check(learner))
        return {**checks[-1], "eval_loss": float("nan")} if len(checks) == 1 + step // 10 else checks[-1]

    monkeypatch.setattr(DrillLearner, "check", broken)
    with pytest.raises(EngineError, match=f"held-out loss is no number any more at step {step} ") as caught:
        train(tmp_path, eval_steps=10, steps=40)
    assert caught.value.reason == "nan_loss" and caught.value.advice


def test_without_progress_it_stops_early_and_keeps_the_best(tmp_path):
    kept = train(tmp_path, learning_rate=1.0, eval_steps=1, early_stopping_checks=3, steps=200)
    stopped, finished = kept.named("early_stopped")[0], kept.events[-1]
    losses = {event["step"]: event["eval_loss"] for event in kept.named("evaluated") if event["step"]}
    best = min(losses, key=losses.get)
    assert stopped["best_step"] == finished["best_step"] == best == stopped["step"] - 3
    assert finished["eval_loss"] == losses[best] and finished["steps"] == stopped["step"] < 200
    assert f"step {best}" in stopped["message"]


def test_killed_once_it_gets_past_that_step_from_a_checkpoint(undisturbed, tmp_path):
    run = tmp_path / "RUN.json"
    run.write_text(json.dumps(description(tmp_path, config={"crash_at_step": 25})))
    status, events, _ = run_engine(run)
    assert status == -9 and events[-1]["step"] == 24
    path = [event["path"] for event in events if event["event"] == "checkpoint"][-1]
    run.write_text(json.dumps(description(tmp_path, config={"crash_at_step": 25}, resume_from=path)))
    status, events, _ = run_engine(run)
    assert (status, events[-1]["event"]) == (0, "finished")
    assert adapter_sha256(tmp_path) == undisturbed[1]


@pytest.mark.parametrize("field", ["nan_at_step", "crash_at_step", "oom_above"])
def test_no_real_training_has_the_injected_faults(field):
    with pytest.raises(ValueError, match="no setting"):
        TrainingConfig.from_dict({field: 1})


def test_from_a_shell_words_are_taken_and_the_end_of_standard_input_is_not(tmp_path):
    run = tmp_path / "RUN.json"
    run.write_text(json.dumps(description(tmp_path, config={"seconds_per_step": 0.02})))
    words = [sys.executable, "-m", "training.engine", str(run), "--keep-running"]
    done = subprocess.run(words, input=b"hello\ncheckpoint\n", capture_output=True, cwd=ROOT, env=os.environ)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and events[-1]["event"] == "finished"
    assert [e["step"] for e in events if e["event"] == "checkpoint" and e["reason"] == "asked"] == [1]
    assert b"'hello' on standard input is left alone: it is not one of checkpoint, pause" in done.stderr


def test_without_a_place_for_checkpoints_a_pause_would_lose_everything_so_it_is_left_alone(tmp_path):
    run = tmp_path / "RUN.json"
    run.write_text(json.dumps(description(tmp_path, config={"steps": 5}, checkpoints_dir=None)))
    words = [sys.executable, "-m", "training.engine", str(run), "--keep-running"]
    done = subprocess.run(words, input=b"pause\n", capture_output=True, cwd=ROOT, env=os.environ)
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "finished"
    assert b"'pause' on standard input is left alone" in done.stderr and b"no checkpoints_dir" in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can only be mounted here by root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("place", ["checkpoints_dir", "output_dir"])
def test_on_a_disk_that_is_really_full_it_says_so_and_leaves_nothing(place, small_disk, tmp_path):
    run = tmp_path / "RUN.json"
    run.write_text(json.dumps(description(tmp_path, config={"width": 500}) | {place: str(small_disk / "x")}))
    status, events, _ = run_engine(run)
    assert (status, events[-1]["event"], events[-1]["reason"]) == (1, "failed", "disk_full")
    what = "the checkpoint of step 10" if place == "checkpoints_dir" else "the adapter"
    assert what in events[-1]["message"] and events[-1]["advice"]
    assert os.listdir(small_disk / "x") == []


def test_its_small_optimizer_moves_as_that_of_torch_does():
    torch.manual_seed(0)
    theirs = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(5))]
    ours = [torch.nn.Parameter(parameter.detach().clone()) for parameter in theirs]
    torchs = torch.optim.AdamW(theirs, lr=0.01)
    small = SmallAdamW(ours)
    for _ in range(50):
        for one, other in zip(theirs, ours, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        torchs.step()
        small.step(0.01)
    for one, other in zip(theirs, ours, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
