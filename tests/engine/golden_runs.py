"""The trainings behind the golden curves. `python -m tests.engine.golden_runs` writes the curves anew."""

import importlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engine.tiny import chat_rows, make_model, preference_rows, unpaired_rows, write_run
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.methods import METHODS

FOLDER = Path(__file__).parent / "golden"
ROWS = {"sft": chat_rows, "dpo": preference_rows, "orpo": preference_rows, "kto": unpaired_rows}
# Three steps an epoch, each of three rows.
SHORT = {"learning_rate": 0.005, "lora_dropout": 0.0, "batch_size": 3, "gradient_accumulation_steps": 1,
         "epochs": 1, "min_steps": 24, "eval_steps": 6, "max_length": 256, "sample_count": 0}  # fmt: skip
STEP_FIELDS = ("loss", "grad_norm", "learning_rate", "rewards_chosen", "rewards_rejected", "rewards_margin",
               "rewards_accuracy")  # fmt: skip
CHECK_FIELDS = ("step", "eval_loss", "eval_rewards_margin", "eval_rewards_accuracy")


@dataclass(frozen=True)
class Golden:
    """One training; `after` names another whose adapter it goes on from."""

    method: str
    config: dict[str, Any] = field(default_factory=dict)
    after: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        return {**SHORT, **self.config}


GOLDENS = {
    "sft": Golden("sft"),
    "qlora": Golden("sft", {"quantization": "nf4"}),
    "dpo": Golden("dpo"),
    "dpo_smooth": Golden("dpo", {"label_smoothing": 0.1, "beta": 0.3}),
    "dpo_after_sft": Golden("dpo", after="sft"),
    "orpo": Golden("orpo", {"beta": 0.5}),
    "kto": Golden("kto", {"undesirable_weight": 1.5}),
}


class Kept:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def report(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def of(self, event: str) -> list[dict[str, Any]]:
        return [told for told in self.events if told["event"] == event]


def train(
    directory: Path, model: Path, method: str, *, start_dir: Path | None = None, rows=None, **config: Any
) -> Kept:
    """A whole run of the method's recipe in this process, in `directory`."""
    path = write_run(directory, model, ROWS[method]() if rows is None else rows, **config)
    run = json.loads(path.read_text()) | {"method": method}
    if start_dir is not None:
        run["start_adapter_dir"] = str(start_dir)
    kept = Kept()
    settings = TrainingConfig.from_dict(run["config"], method)
    importlib.import_module(METHODS[method].recipe).run(run, settings, kept, Control())
    return kept


def curve_of(kept: Kept) -> dict[str, list[dict[str, Any]]]:
    """`steps` and `checks`, with what a golden file holds of each."""

    def some(event: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        return {name: event[name] for name in names if name in event}

    return {
        "steps": [some(event, STEP_FIELDS) for event in kept.of("step")],
        "checks": [some(event, CHECK_FIELDS) for event in kept.of("evaluated")],
    }


def adapter_dir(kept: Kept) -> Path:
    return Path(kept.of("finished")[0]["adapter_dir"])


def record() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = make_model(folder / "tiny")
        adapters: dict[str, Path] = {}
        for name, golden in GOLDENS.items():
            start = adapters[golden.after] if golden.after else None
            kept = train(folder / name, model, golden.method, start_dir=start, **golden.settings)
            adapters[name] = adapter_dir(kept)
            text = json.dumps({"config": golden.config, **curve_of(kept)}, indent=1)
            (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    record()
