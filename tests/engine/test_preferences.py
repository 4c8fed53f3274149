"""DPO, ORPO and KTO as trainings: stopped anywhere they end in the same bits, and what they leave is any adapter."""

import json
import re
from pathlib import Path

import pytest

from tests.engine.golden_runs import ROWS, adapter_dir
from tests.engine.golden_runs import train as train_whole
from tests.engine.test_drill import Kept, adapter_sha256
from tests.engine.test_resume import Killed, joined, kill
from tests.engine.tiny import preference_rows, run_engine, unpaired_rows, write_run
from training.engine.config import ConfigError, TrainingConfig
from training.engine.control import Control, Paused
from training.engine.errors import EngineError
from training.engine.recipes import preferences

# Three epochs of 5 steps, with dropout; a check and a checkpoint every 4.
SETTINGS = {
    "learning_rate": 0.005, "batch_size": 2, "gradient_accumulation_steps": 1, "epochs": 3, "min_steps": 1,
    "eval_steps": 4, "sample_tokens": 4, "lora_dropout": 0.1,
}  # fmt: skip
REWARDS = {"rewards_chosen", "rewards_rejected", "rewards_margin", "rewards_accuracy"}
WAYS = ["dpo", "dpo after sft", "orpo", "kto"]


@pytest.fixture(scope="module")
def sft_dir(tiny_model, tmp_path_factory):
    return adapter_dir(
        train_whole(tmp_path_factory.mktemp("sft"), tiny_model, "sft", learning_rate=0.01, max_steps=20)
    )


@pytest.fixture(scope="module")
def describe(tiny_model, sft_dir):
    def describing(way, directory, rows=None, **changes):
        method = way.split()[0]
        path = write_run(directory, tiny_model, ROWS[method]() if rows is None else rows, **SETTINGS)
        start = str(sft_dir) if way.endswith("sft") else None
        return {
            **json.loads(path.read_text()), "method": method, "start_adapter_dir": start,
            "checkpoints_dir": str(directory / "checkpoints"), **changes,
        }  # fmt: skip

    return describing


def train(run, *, at=None, control=None, **config):
    kept = Kept(at)
    settings = TrainingConfig.from_dict({**run["config"], **config}, run["method"])
    try:
        preferences.run(run, settings, kept, control or Control())
    except Paused:
        assert kept.events[-1]["event"] == "paused"
    return kept


@pytest.fixture(scope="module")
def undisturbed(describe, tmp_path_factory):
    made = {}

    def running(way):
        if way not in made:
            directory = tmp_path_factory.mktemp("undisturbed")
            made[way] = train(describe(way, directory)), adapter_sha256(directory), directory
        return made[way]

    return running


def rewards(kept, upto=None):
    return [
        {name: event[name] for name in REWARDS}
        for event in kept.named("step")
        if not upto or event["step"] <= upto
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", [3, 7])
def test_paused_at_any_step_it_ends_in_the_same_bits(way, step, undisturbed, describe, tmp_path):
    whole, sha256, _ = undisturbed(way)
    control, run = Control(), describe(way, tmp_path)
    before = train(run, control=control, at={("step", step): lambda: control.add("pause")})
    after = train({**run, "resume_from": before.named("checkpoint")[-1]["path"]})
    assert after.named("started")[0]["resumed_step"] == step
    assert joined(before, after, step) == list(whole.curve())
    assert rewards(before, step) + rewards(after) == rewards(whole)
    assert adapter_sha256(tmp_path) == sha256


@pytest.mark.parametrize("way", ["dpo after sft", "kto"])
@pytest.mark.parametrize(("killed_at", "goes_on_from"), [(6, 4), (15, 12)])
def test_killed_anywhere_it_goes_on_from_the_last_checkpoint(
    way, killed_at, goes_on_from, undisturbed, describe, tmp_path
):
    run = describe(way, tmp_path)
    before = Kept({("step", killed_at): kill})
    with pytest.raises(Killed):
        preferences.run(run, TrainingConfig.from_dict(run["config"], run["method"]), before, Control())
    last = before.named("checkpoint")[-1]
    assert last["step"] == goes_on_from
    after = train({**run, "resume_from": last["path"]})
    assert joined(before, after, goes_on_from) == list(undisturbed(way)[0].curve())
    assert adapter_sha256(tmp_path) == undisturbed(way)[1]


def test_another_method_does_not_go_on_from_its_checkpoint(undisturbed, describe, tmp_path):
    checkpoint = undisturbed("dpo")[2] / "checkpoints" / "step-00000008"
    with pytest.raises(EngineError, match="its method is 'dpo' instead of 'orpo'"):
        train(describe("orpo", tmp_path, resume_from=str(checkpoint)))


@pytest.mark.parametrize("way", WAYS)
def test_every_step_and_check_tells_what_the_answers_earn(way, undisturbed):
    kept = undisturbed(way)[0]
    assert all(set(event) >= REWARDS for event in kept.named("step"))
    for event in kept.named("evaluated"):
        assert set(event) >= {"eval_loss", "eval_rows", "eval_rewards_margin", "eval_rewards_accuracy"}
    for told in rewards(kept):
        if None not in told.values():
            assert told["rewards_margin"] == pytest.approx(told["rewards_chosen"] - told["rewards_rejected"])
    sampled = kept.named("sampled")[-1]["samples"]
    assert sampled and all(sample["question"].startswith("What is the capital") for sample in sampled)


@pytest.mark.parametrize("way", ["dpo", "dpo after sft", "kto"])
def test_at_the_beginning_nothing_is_earned(way, undisturbed):
    first = undisturbed(way)[0].named("evaluated")[0]
    assert first["eval_rewards_margin"] == pytest.approx(0, abs=1e-5) and first["eval_rewards_accuracy"] < 1


@pytest.mark.parametrize("way", ["dpo", "orpo", "kto"])
def test_how_rows_are_put_into_passes_changes_nothing(way, describe, tmp_path, monkeypatch):
    from training.engine import plan

    whole = train(describe(way, tmp_path / "whole"), lora_dropout=0.0, max_steps=8, batch_size=4)
    monkeypatch.setattr(plan, "CPU_TOKENS_PER_PASS", 1)
    apart = train(describe(way, tmp_path / "apart"), lora_dropout=0.0, max_steps=8, batch_size=4)
    for name in ("loss", "grad_norm", *(() if way == "kto" else ("rewards_margin",))):
        found = [[event[name] for event in kept.named("step")] for kept in (whole, apart)]
        assert found[0] == pytest.approx(found[1], abs=1e-4, rel=1e-3)


def test_memory_that_runs_out_is_met_with_smaller_passes(describe, tmp_path, monkeypatch):
    from training.engine.preference_trainer import PreferenceTrainer

    theirs = PreferenceTrainer.log_probs

    def short_of_memory(self, model, part):
        if model.training and part.input_ids.numel() > 160:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return theirs(self, model, part)

    settings = {"lora_dropout": 0.0, "batch_size": 4, "max_steps": 4}
    whole = train(describe("dpo", tmp_path / "whole"), **settings)
    monkeypatch.setattr(PreferenceTrainer, "log_probs", short_of_memory)
    small = train(describe("dpo", tmp_path / "small"), **settings)
    assert small.named("batch_halved") and not whole.named("batch_halved")
    losses = [[event["loss"] for event in kept.named("step")] for kept in (whole, small)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert [event["tokens"] for event in small.named("step")] == [
        event["tokens"] for event in whole.named("step")
    ]


def test_what_is_left_is_an_adapter_like_any_other_and_names_where_it_comes_from(undisturbed, tiny_model):
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    directory = undisturbed("dpo after sft")[2] / "out" / "adapter"
    assert not [path for path in directory.iterdir() if path.is_dir()]
    with safe_open(directory / "adapter_model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if "ref" in name]  # noqa: SIM118
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), directory)
    run = json.loads((directory / "apex-run.json").read_text())
    assert run["method"] == "dpo" and run["config"]["beta"] == 0.1
    card = (directory / "README.md").read_text()
    assert "- dpo" in card and "comparisons (DPO)" in card


def test_a_quantised_base_is_named_in_what_is_left(describe, tmp_path):
    kept = train(describe("dpo", tmp_path), quantization="nf4", max_steps=2)
    assert kept.named("started")[0]["quantization"] == "nf4"
    directory = Path(kept.named("finished")[0]["adapter_dir"])
    assert json.loads((directory / "apex-run.json").read_text())["config"]["quantization"] == "nf4"
    assert "4 bits (nf4)" in (directory / "README.md").read_text()


def test_kto_needs_two_rows_in_a_step(describe, tmp_path):
    with pytest.raises(ConfigError, match="batch_size is 1; .* needs at least 2"):
        TrainingConfig.from_dict({"batch_size": 1}, "kto")
    with pytest.raises(EngineError, match="There is 1 marked answer to train on; KTO needs at least 2"):
        train(describe("kto", tmp_path, rows=unpaired_rows()[:1]))


@pytest.mark.parametrize(
    ("marks", "config", "said"),
    [
        ([True] * 8 + [False], {}, "8 answers are good and 1 are bad.*undesirable_weight 8 would"),
        ([False] * 6 + [True] * 3, {}, "desirable_weight 2 would"),
        ([True] * 9, {}, "All 9 answers are good"),
        ([False] * 6 + [True] * 3, {"desirable_weight": 2.0}, None),
    ],
)
def test_marks_far_from_balance_are_told_with_the_weight_that_evens_them(
    describe, tmp_path, marks, config, said
):
    rows = [row for row in unpaired_rows() if row["split"] == "train"]
    rows = [{**row, "label": mark} for row, mark in zip(rows, marks, strict=True)]
    kept = train(describe("kto", tmp_path, rows=rows), max_steps=1, **config)
    logs = [event["message"] for event in kept.named("log")]
    assert (not logs) if said is None else re.search(said, logs[0])


def test_a_loss_that_is_no_number_ends_it(describe, tmp_path, monkeypatch):
    from training.engine.preference_trainer import PreferenceTrainer

    theirs = PreferenceTrainer.log_probs
    monkeypatch.setattr(PreferenceTrainer, "log_probs", lambda *args: theirs(*args) * float("nan"))
    rows = [row for row in preference_rows() if row["split"] == "train"]
    with pytest.raises(EngineError, match="step 1 ") as caught:
        train(describe("orpo", tmp_path, rows=rows))
    assert caught.value.reason == "nan_loss"


def test_the_engine_takes_the_method_from_its_order(describe, tmp_path):
    run = describe("dpo", tmp_path)
    (tmp_path / "RUN.json").write_text(json.dumps(run))
    status, events, log = run_engine(tmp_path / "RUN.json")
    assert status == 0, log
    assert [event["event"] for event in events][:2] == ["started", "evaluated"] and events[-1][
        "event"
    ] == "finished"
    (tmp_path / "RUN.json").write_text(json.dumps({**run, "method": "kto", "config": {"precision": "fp32"}}))
    status, events, _ = run_engine(tmp_path / "RUN.json")
    assert status == 1 and "has no completion; it holds chosen, prompt, rejected" in events[-1]["message"]
