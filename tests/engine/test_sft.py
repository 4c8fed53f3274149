"""The recipe itself: what it learns, and that it learns the same again."""

import json

import pytest

from rendering.model_facts import read_model_facts
from tests.engine.tiny import chat_rows, write_run
from training.engine import loading, plan
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.errors import EngineError, explain
from training.engine.recipes import sft

# Losses at steps 1, 10, 20 and 30 of this very run, and the held-out loss of base and best; fp32, one thread.
RECORDED = [6.037, 5.797, 5.694, 5.656, 6.052, 5.752]
# The same without dropout, whose draws depend on nothing but the seed.
RECORDED_WITHOUT_DROPOUT = [6.0365, 5.7810, 5.6906, 5.6338]


class Kept:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.events = []

    def report(self, event, **fields):
        self.events.append({"event": event, **fields})

    def losses(self):
        return [event["loss"] for event in self.events if event["event"] == "step"]


def train(directory, model, rows=None, **config):
    path = write_run(directory, model, chat_rows() if rows is None else rows, **config)
    run = json.loads(path.read_text())
    kept = Kept()
    sft.run(run, TrainingConfig.from_dict(run["config"]), kept, Control())
    return kept


@pytest.fixture(scope="module")
def short_run(tiny_model, tmp_path_factory):
    return train(tmp_path_factory.mktemp("short"), tiny_model, learning_rate=0.01, min_steps=30, batch_size=2)


def test_the_loss_curve_is_the_recorded_one(short_run):
    losses, finished = short_run.losses(), short_run.events[-1]
    found = [losses[0], losses[9], losses[19], losses[29], finished["eval_loss_base"], finished["eval_loss"]]
    assert found == pytest.approx(RECORDED, abs=0.02)


def test_without_dropout_the_curve_is_the_recorded_one_too(tiny_model, tmp_path):
    found = train(
        tmp_path, tiny_model, learning_rate=0.01, min_steps=30, batch_size=2, lora_dropout=0.0, sample_count=0
    )
    losses = [found.losses()[index] for index in (0, 9, 19, 29)]
    assert losses == pytest.approx(RECORDED_WITHOUT_DROPOUT, abs=0.001)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(short_run, tiny_model, tmp_path):
    again = train(tmp_path / "a", tiny_model, learning_rate=0.01, min_steps=30, batch_size=2)
    assert again.losses() == short_run.losses()
    other = train(
        tmp_path / "b", tiny_model, learning_rate=0.01, min_steps=30, batch_size=2, max_steps=3, seed=7
    )
    assert other.losses() != short_run.losses()[:3]


def test_how_rows_are_put_into_passes_changes_nothing(tiny_model, tmp_path, monkeypatch):
    settings = {"lora_dropout": 0.0, "learning_rate": 0.01, "max_steps": 8}
    whole = train(tmp_path / "whole", tiny_model, **settings)
    monkeypatch.setattr(plan, "CPU_TOKENS_PER_PASS", 1)
    apart = train(tmp_path / "apart", tiny_model, **settings)
    assert apart.losses() == pytest.approx(whole.losses(), abs=1e-4)


def test_recomputing_activations_changes_nothing(tiny_model, tmp_path, monkeypatch):
    settings = {"lora_dropout": 0.0, "learning_rate": 0.01, "max_steps": 4}
    kept = train(tmp_path / "kept", tiny_model, **settings)
    monkeypatch.setattr(loading, "CHECKPOINTING_SHARE", 0.0)
    recomputed = train(tmp_path / "recomputed", tiny_model, **settings)
    assert recomputed.losses() == pytest.approx(kept.losses(), abs=1e-4)


@pytest.mark.parametrize(("asked", "given"), [("on", True), ("off", False), ("auto", False)])
def test_recomputing_is_done_where_it_is_asked_for(asked, given, tiny_model):
    config = TrainingConfig(activation_checkpointing=asked)
    assert loading.needs_checkpointing(config, read_model_facts(tiny_model), 1024, False) is given


def test_a_shorter_longest_step_shortens_the_steps(short_run, tiny_model, tmp_path):
    settings = {"learning_rate": 0.01, "min_steps": 30, "batch_size": 2, "max_steps": 3, "sample_count": 0}
    kept = train(tmp_path, tiny_model, max_grad_norm=0.01, **settings)
    norms = [[e["grad_norm"] for e in run.events if e["event"] == "step"][:1] for run in (kept, short_run)]
    assert norms[0] == norms[1] and norms[0][0] > 0.01
    assert kept.losses()[0] == short_run.losses()[0] and kept.losses()[1:] != short_run.losses()[1:3]


def test_bf16_learns_nearly_the_same(short_run, tiny_model, tmp_path):
    settings = {"learning_rate": 0.01, "min_steps": 30, "batch_size": 2, "precision": "bf16"}
    found = train(tmp_path, tiny_model, **settings)
    # Dropout is drawn differently there, so the single steps are not the same.
    assert found.events[-1]["eval_loss"] == pytest.approx(short_run.events[-1]["eval_loss"], abs=0.1)
    assert found.losses() != short_run.losses()


def test_without_held_out_rows_nothing_is_checked(tiny_model, tmp_path):
    rows = [row for row in chat_rows() if row["split"] == "train"]
    kept = train(tmp_path, tiny_model, rows, max_steps=2)
    assert not [event for event in kept.events if event["event"] == "evaluated"]
    assert kept.events[-1]["eval_loss"] is None and kept.events[-1]["eval_loss_base"] is None


def test_a_loss_that_is_no_number_fails_with_advice(tiny_model, tmp_path, monkeypatch):
    import torch

    from training.engine import trainer

    nothing = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(trainer.F, "cross_entropy", lambda *args, **kwargs: nothing * 1)
    with pytest.raises(EngineError) as caught:
        train(tmp_path, tiny_model, [row for row in chat_rows() if row["split"] == "train"])
    assert caught.value.reason == "nan_loss" and "step 1" in caught.value.message and caught.value.advice


def test_layers_that_the_model_does_not_have_are_named(tiny_model, tmp_path):
    with pytest.raises(EngineError, match="c_attn") as caught:
        train(tmp_path, tiny_model, target_modules=["q_proj", "c_attn"])
    assert caught.value.reason == "bad_config"


def test_memory_disk_and_the_unexpected_are_told_apart():
    assert explain(MemoryError()).reason == "out_of_memory"
    words = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"
    assert explain(RuntimeError(words)).reason == "out_of_memory"
    assert explain(OSError(28, "No space left on device")).reason == "disk_full"
    assert explain(RuntimeError("I/O error: No space left on device (os error 28)")).reason == "disk_full"
    told = explain(KeyError("x"))
    assert told.reason == "unexpected" and "KeyError" in told.message
