"""Every way of learning gives its recorded curve, learns, and is TRL's own trainer step by step."""

import json

import pytest

from rendering import Renderer
from tests.engine.golden_runs import FOLDER, GOLDENS, ROWS, adapter_dir, curve_of, train
from training.engine.comparisons import read_marked, read_pairs
from training.engine.config import TrainingConfig
from training.engine.data import read_examples
from training.engine.order import RowOrder

RECORDED = 2e-3  # other processors round otherwise
PLAIN = 1e-4
# What TRL calls what a step of ours says.
NAMES = {"loss": "loss", "learning_rate": "learning_rate", "rewards_chosen": "rewards/chosen",
         "rewards_rejected": "rewards/rejected", "rewards_margin": "rewards/margins",
         "rewards_accuracy": "rewards/accuracies"}  # fmt: skip
READERS = {"sft": read_examples, "dpo": read_pairs, "orpo": read_pairs, "kto": read_marked}


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """`runs(name)`: the golden training of that name, made once."""
    folder, made = tmp_path_factory.mktemp("golden"), {}

    def run(name):
        if name not in made:
            golden = GOLDENS[name]
            start = adapter_dir(run(golden.after)) if golden.after else None
            made[name] = train(folder / name, tiny_model, golden.method, start_dir=start, **golden.settings)
        return made[name]

    return run


def near(values):
    """A step of KTO may have no good or no bad answer: that stays None."""
    return {
        name: value if value is None else pytest.approx(value, abs=RECORDED, rel=RECORDED)
        for name, value in values.items()
    }


@pytest.mark.parametrize("name", GOLDENS)
def test_the_curve_is_the_recorded_one(runs, name):
    recorded, found = json.loads((FOLDER / f"{name}.json").read_text()), curve_of(runs(name))
    assert recorded["config"] == GOLDENS[name].config
    for part in ("steps", "checks"):
        assert len(found[part]) == len(recorded[part])
        for ours, theirs in zip(found[part], recorded[part], strict=True):
            assert ours == near(theirs)


@pytest.mark.parametrize("name", GOLDENS)
def test_the_held_out_loss_falls_and_the_preferred_answer_wins(runs, name):
    first, *_, last = runs(name).of("evaluated")
    assert last["eval_loss"] < first["eval_loss"] - 0.05
    if GOLDENS[name].method != "sft":
        assert last["eval_rewards_accuracy"] == 1.0 > first["eval_rewards_accuracy"]
        assert last["eval_rewards_margin"] > first["eval_rewards_margin"]


@pytest.mark.parametrize("name", GOLDENS)
def test_trls_own_trainer_gives_the_same_curve(runs, name, tiny_model, tmp_path):
    from tests.engine.plain import train_plainly

    golden, ours = GOLDENS[name], runs(name)
    config = TrainingConfig.from_dict({"precision": "fp32", **golden.settings}, golden.method)
    (tmp_path / "rows").write_text("".join(json.dumps(row) + "\n" for row in ROWS[golden.method]()))
    read = READERS[golden.method](tmp_path / "rows", Renderer.from_directory(tiny_model), config.max_length)
    order = RowOrder(len(read.train), config.batch_size, config.seed)
    taken = [[read.train[row] for row in order.rows_of(step)] for step in range(1, len(ours.of("step")) + 1)]
    start = adapter_dir(runs(golden.after)) if golden.after else None
    plain = train_plainly(
        golden.method, taken, read.held_out, model_dir=tiny_model, output_dir=tmp_path / "plain", config=config,
        start_dir=start,
    )  # fmt: skip
    for step, theirs in zip(ours.of("step"), plain.steps, strict=True):
        assert step["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3), step
        # KTO's steps may have no good or no bad answer; its accuracy is not known to TRL.
        named = {name: its for name, its in NAMES.items() if its in theirs}
        assert {name: step[name] for name in named} == pytest.approx(
            {name: theirs[its] for name, its in named.items()}, abs=PLAIN
        )
    last = ours.of("evaluated")[-1]
    assert last["eval_loss"] == pytest.approx(plain.held_out["eval_loss"], abs=PLAIN)
    if golden.method != "sft":
        assert last["eval_rewards_margin"] == pytest.approx(plain.held_out["eval_rewards/margins"], abs=PLAIN)
