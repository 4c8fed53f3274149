"""What each of several processes does in tests/engine/test_spreading.py: `--module tests.engine.ranks PLAN.json`.

PLAN.json is a list of trainings, made one after the other without starting anew. Each is `{"run": …}` as RUN.json
holds it, `events` (where the first process writes what it says), and perhaps `pause_at` (a step at whose end the first
process is asked to pause) and `little_memory` (a process in which no pass of more than `tokens` tokens fits).
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from rendering.light_imports import leave_out_unused, uncollected
from tests.engine.test_drill import Kept
from training.engine.control import Control, Paused
from training.engine.methods import METHODS
from training.engine.spreading import Ranks


def main(plan_path: str) -> None:
    jobs = json.loads(Path(plan_path).read_text())
    leave_out_unused(needs_four_bits=any("quantization" in job["run"]["config"] for job in jobs))
    for job in jobs:
        train(**job)
    Ranks.here().part()


def train(run, events, pause_at=None, little_memory=None) -> None:
    import importlib

    ranks, control, method = Ranks.here(), Control(), METHODS[run["method"]]
    kept = Kept({("step", pause_at): lambda: control.add("pause") if ranks.is_first else None})
    with contextlib.suppress(Paused), short_of_memory(**little_memory or {}):
        config = method.config.from_dict(run["config"], method.name)
        importlib.import_module(method.recipe).run(run, config, kept, control)
    if ranks.is_first:
        Path(events).write_text(json.dumps(kept.events))


@contextlib.contextmanager
def short_of_memory(process: int | None = None, tokens: int = 0) -> Iterator[None]:
    with uncollected():
        from training.engine.trainer import StepTrainer

    theirs = StepTrainer.summed_loss

    def summed_loss(self, model, part):
        if Ranks.here().index == process and model.training and part.input_ids.numel() > tokens:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return theirs(self, model, part)

    with mock.patch.object(StepTrainer, "summed_loss", summed_loss):
        yield


if __name__ == "__main__":
    main(sys.argv[1])
