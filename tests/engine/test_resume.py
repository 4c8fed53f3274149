"""A training that was stopped ends in the same bits as one that was not."""

import json
import shutil

import pytest

from tests.engine.test_drill import CURVE, Kept, adapter_sha256
from tests.engine.tiny import chat_rows, run_engine, start_engine, write_run
from training.engine.config import TrainingConfig
from training.engine.control import Control, Paused
from training.engine.errors import EngineError
from training.engine.recipes import sft

# Three epochs of 5 steps; a check, and with it a checkpoint, every 4, so that most lie within an epoch.
SETTINGS = {
    "learning_rate": 0.01, "batch_size": 2, "gradient_accumulation_steps": 1, "epochs": 3, "min_steps": 1,
    "eval_steps": 4, "sample_tokens": 4,
}  # fmt: skip


def describe(directory, model, rows=None, **changes):
    path = write_run(directory, model, chat_rows() if rows is None else rows, **SETTINGS)
    return {**json.loads(path.read_text()), "checkpoints_dir": str(directory / "checkpoints"), **changes}


def train(run, *, at=None, control=None, **config):
    kept = Kept(at)
    settings = TrainingConfig.from_dict({**run["config"], **config})
    try:
        sft.run(run, settings, kept, control or Control())
    except Paused:
        assert kept.events[-1]["event"] == "paused"
    return kept


@pytest.fixture(scope="module")
def undisturbed(tiny_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    kept = train(describe(directory, tiny_model))
    return kept, adapter_sha256(directory), directory


def joined(before, after, step):
    """Both curves, the first up to `step`."""
    steps, checks = before.curve()
    cut = [point for point in steps if point[0] <= step], [point for point in checks if point[0] <= step]
    return [a + b for a, b in zip(cut, after.curve(), strict=True)]


def test_the_run_has_more_than_one_epoch_and_checkpoints_within_them(undisturbed):
    kept, _, _ = undisturbed
    assert kept.events[0]["epochs"] == 3 and kept.events[-1]["steps"] == 15
    assert [event["step"] for event in kept.named("checkpoint")] == [4, 8, 12, 15]
    assert set(CURVE) < set(kept.named("step")[0])


@pytest.mark.parametrize("step", [1, 4, 5, 7, 10, 14])
def test_paused_at_any_step_it_ends_in_the_same_bits(step, undisturbed, tiny_model, tmp_path):
    control = Control()
    run = describe(tmp_path, tiny_model)
    before = train(run, control=control, at={("step", step): lambda: control.add("pause")})
    assert before.events[-1] == {"event": "paused", "step": step}
    after = train({**run, "resume_from": before.named("checkpoint")[-1]["path"]})
    assert after.events[0]["resumed_step"] == step
    assert joined(before, after, step) == list(undisturbed[0].curve())
    assert adapter_sha256(tmp_path) == undisturbed[1]
    for name in ("steps", "tokens", "eval_loss_base", "eval_loss", "best_step", "train_loss"):
        assert after.events[-1][name] == undisturbed[0].events[-1][name]


class Killed(BaseException):
    """The process is gone: nothing of the engine catches this."""


def kill():
    raise Killed


@pytest.mark.parametrize(("killed_at", "goes_on_from"), [(6, 4), (11, 8), (15, 12)])
def test_killed_anywhere_it_goes_on_from_the_last_checkpoint(
    killed_at, goes_on_from, undisturbed, tiny_model, tmp_path
):
    run, before = describe(tmp_path, tiny_model), Kept({("step", killed_at): kill})
    with pytest.raises(Killed):
        sft.run(run, TrainingConfig.from_dict(run["config"]), before, Control())
    last = before.named("checkpoint")[-1]
    assert last["step"] == goes_on_from
    after = train({**run, "resume_from": last["path"]})
    assert joined(before, after, goes_on_from) == list(undisturbed[0].curve())
    assert adapter_sha256(tmp_path) == undisturbed[1]


def test_a_process_killed_by_the_system_goes_on_in_another(undisturbed, tiny_model, tmp_path):
    run = describe(tmp_path, tiny_model)
    path = tmp_path / "RUN.json"
    path.write_text(json.dumps(run))
    process = start_engine(path)
    before = Kept()
    for line in process.stdout:
        before.events.append(json.loads(line))
        if before.events[-1]["event"] == "step" and before.events[-1]["step"] == 9:
            process.kill()
    process.communicate()
    assert process.returncode == -9 and before.events[-1]["event"] != "finished"
    last = before.named("checkpoint")[-1]
    path.write_text(json.dumps({**run, "resume_from": last["path"]}))
    status, events, log = run_engine(path)
    assert status == 0, log
    after = Kept()
    after.events = events
    assert joined(before, after, last["step"]) == list(undisturbed[0].curve())
    assert adapter_sha256(tmp_path) == undisturbed[1]


def test_the_history_of_the_adapter_is_whole_after_a_resume(undisturbed, tiny_model, tmp_path):
    _, _, directory = undisturbed
    run = describe(tmp_path, tiny_model, resume_from=str(directory / "checkpoints" / "step-00000008"))
    train(run)
    histories = [
        json.loads((place / "out" / "adapter" / "metrics.json").read_text())["history"]
        for place in (directory, tmp_path)
    ]
    assert histories[0]["evaluations"] == histories[1]["evaluations"]
    first, second = ([[p[name] for name in CURVE] for p in found["steps"]] for found in histories)
    assert first == second and len(first) == 15


def test_of_the_end_only_the_adapter_is_written_again(undisturbed, tiny_model, tmp_path):
    _, sha256, directory = undisturbed
    kept = train(describe(tmp_path, tiny_model, resume_from=str(directory / "checkpoints" / "step-00000015")))
    assert [event["event"] for event in kept.events] == ["started", "finished"]
    assert adapter_sha256(tmp_path) == sha256


def test_memory_that_ran_out_in_between_changes_nothing_of_this(tiny_model, tmp_path, monkeypatch):
    from training.engine.trainer import StepTrainer

    theirs = StepTrainer.summed_loss

    def short_of_memory(self, model, part):
        if model.training and part.input_ids.numel() > 80:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
            )
        return theirs(self, model, part)

    monkeypatch.setattr(StepTrainer, "summed_loss", short_of_memory)
    one = train(describe(tmp_path / "one", tiny_model))
    halved = one.named("batch_halved")
    assert halved and halved[0]["step"] == 1 and halved[-1]["tokens_per_pass"] <= 80
    path = next(event["path"] for event in one.named("checkpoint") if event["step"] == 8)
    two = train(describe(tmp_path / "two", tiny_model, resume_from=path))
    assert not two.named("batch_halved")
    assert joined(one, two, 8) == list(one.curve())
    assert adapter_sha256(tmp_path / "two") == adapter_sha256(tmp_path / "one")
    # The rows of a step are the same, however they are put through: nothing but dropout and rounding differ.
    monkeypatch.setattr(StepTrainer, "summed_loss", theirs)
    whole = train(describe(tmp_path / "whole", tiny_model), lora_dropout=0.0)
    monkeypatch.setattr(StepTrainer, "summed_loss", short_of_memory)
    small = train(describe(tmp_path / "small", tiny_model), lora_dropout=0.0)
    losses = [[event["loss"] for event in kept.named("step")] for kept in (whole, small)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_a_row_that_alone_is_too_much_ends_it_with_advice(tiny_model, tmp_path, monkeypatch):
    import torch

    from training.engine.trainer import StepTrainer

    def no_memory(self, model, rows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(StepTrainer, "gradients", no_memory)
    with pytest.raises(EngineError, match="longest example alone") as caught:
        train(describe(tmp_path, tiny_model))
    assert caught.value.reason == "out_of_memory" and caught.value.advice


def test_other_errors_are_not_taken_for_a_lack_of_memory(tiny_model, tmp_path, monkeypatch):
    from training.engine.trainer import StepTrainer

    def broken(self, model, rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(StepTrainer, "gradients", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        train(describe(tmp_path, tiny_model))


def test_a_torn_checkpoint_is_refused_and_named(undisturbed, tiny_model, tmp_path):
    copy = tmp_path / "step-00000008"
    shutil.copytree(undisturbed[2] / "checkpoints" / "step-00000008", copy)
    weights = bytearray((copy / "training.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "training.safetensors").write_bytes(weights)
    with pytest.raises(EngineError, match="training.safetensors was changed") as caught:
        train(describe(tmp_path, tiny_model, resume_from=str(copy)))
    assert caught.value.reason == "bad_checkpoint"


def test_a_checkpoint_of_another_training_is_refused(undisturbed, tiny_model, tmp_path):
    run = describe(tmp_path, tiny_model, resume_from=str(undisturbed[2] / "checkpoints" / "step-00000008"))
    with pytest.raises(EngineError, match="its seed is 42 instead of 7"):
        train(run, seed=7)
    with pytest.raises(EngineError, match="its plan is"):
        train(run, epochs=4)
    with pytest.raises(EngineError, match="does not fit this training"):
        train(run, lora_r=8)


def test_without_progress_it_stops_early_and_writes_the_best(tiny_model, tmp_path):
    settings = {"learning_rate": 0.1, "eval_steps": 1, "early_stopping_checks": 2, "epochs": 20}
    kept = train(describe(tmp_path, tiny_model), **settings)
    stopped, finished = kept.named("early_stopped")[0], kept.events[-1]
    losses = {event["step"]: event["eval_loss"] for event in kept.named("evaluated") if event["step"]}
    best = min(losses, key=losses.get)
    assert finished["best_step"] == stopped["best_step"] == best == stopped["step"] - 2
    assert finished["eval_loss"] == losses[best] and finished["steps"] == stopped["step"] < 100
    assert kept.named("checkpoint")[-1]["reason"] == "end"
    # The checkpoint of the best step holds the very adapter that was written at the end.
    from training.engine.manifests import file_sha256

    of_best = tmp_path / "checkpoints" / f"step-{best:08d}" / "adapter_model.safetensors"
    assert file_sha256(of_best) == adapter_sha256(tmp_path)


def test_a_checkpoint_can_be_opened_by_peft_as_it_is(undisturbed, tiny_model):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    path = undisturbed[2] / "checkpoints" / "step-00000008"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), path)
    assert model.peft_config["default"].base_model_name_or_path == "tiny | model"


def test_the_samples_are_answers_to_held_out_questions(undisturbed):
    sampled = undisturbed[0].named("sampled")
    assert [event["step"] for event in sampled] == [0, 4, 8, 12, 15]
    held_out = [row["messages"] for row in chat_rows() if row["split"] == "held_out"][:2]
    assert [(s["question"], s["expected"]) for s in sampled[-1]["samples"]] == [
        (messages[0]["content"], messages[1]["content"]) for messages in held_out
    ]


def test_samples_change_nothing_of_what_is_learned(undisturbed, tiny_model, tmp_path):
    kept = train(describe(tmp_path, tiny_model), sample_count=0)
    assert not kept.named("sampled")
    assert kept.curve() == undisturbed[0].curve() and adapter_sha256(tmp_path) == undisturbed[1]
