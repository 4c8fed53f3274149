"""A small training that needs nothing but torch and ends in seconds: for tests of everything around a training.

It learns a sum of waves from numbers made from the seed, by the same watcher, checkpoints and memory guard as the
real recipes, and says every event of the contract. The base model and the rows are not read.
"""

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

from rendering.light_imports import uncollected
from training.engine.control import Control
from training.engine.drill_config import DrillConfig
from training.engine.progress import Reporter
from training.engine.spreading import Ranks

ROWS, HELD_OUT_ROWS, ROWS_PER_STEP = 256, 64, 32
WARMUP_STEPS = 4


def run(run: dict[str, Any], config: DrillConfig, reporter: Reporter, control: Control) -> None:
    """Trains and reports from `started` to `finished`; raises EngineError and Paused as every recipe does."""
    # 1. The learner, and the checkpoint that it goes on from.
    with uncollected():
        import torch

        from training.engine.checkpoints import read_checkpoint, whole_directory
        from training.engine.memory import with_less_memory
        from training.engine.pace import Rhythm
        from training.engine.recipes.drill_learner import DrillLearner
        from training.engine.watcher import Watcher

    torch.set_num_threads(1)
    ranks = Ranks.here()
    ranks.meet("cpu")
    learner = DrillLearner(
        config, rows=ROWS, held_out_rows=HELD_OUT_ROWS, rows_per_step=ROWS_PER_STEP, ranks=ranks
    )
    watcher = Watcher(
        rhythm=Rhythm(
            total_steps=config.steps,
            steps_per_epoch=learner.steps_per_epoch,
            eval_steps=config.eval_steps,
            learning_rate=config.learning_rate,
            checkpoint_steps=config.checkpoint_steps,
            checkpoint_seconds=config.checkpoint_minutes * 60,
            early_stopping_checks=config.early_stopping_checks,
        ),
        learner=learner,
        reporter=reporter,
        control=control,
        checkpoints_dir=run.get("checkpoints_dir"),
        ranks=ranks,
    )
    if run.get("resume_from"):
        snapshot = read_checkpoint(run["resume_from"])
        learner.restore(snapshot)
        watcher.restore(snapshot)
    resumed_step = watcher.step
    reporter.report("started", **_started(config, learner, resumed_step))

    # 2. Step after step.
    watcher.begin()
    while not watcher.is_done:
        step = watcher.step + 1
        # Of several processes the last one is killed.
        if step == config.crash_at_step and resumed_step == 0 and ranks.index == ranks.count - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(config.seconds_per_step)
        tokens = learner.tokens_seen
        loss = with_less_memory(
            learner, lambda step=step: learner.gradients(step), step=step, reporter=reporter, ranks=ranks
        )
        watcher.after_step(learner.add_up(loss, tokens), *learner.move())

    # 3. The best adapter, as a directory that looks like any other.
    if not ranks.is_first:
        return
    metrics = watcher.summary()
    if watcher.best_adapter is not None:
        learner.load_adapter(watcher.best_adapter)
    adapter_dir = Path(run["output_dir"]) / "adapter"
    with whole_directory(adapter_dir) as draft:
        learner.write_adapter(draft, learner.adapter())
        (draft / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    reporter.report(
        "finished",
        adapter_dir=str(adapter_dir),
        **{name: value for name, value in metrics.items() if name != "history"},
        peak_memory_bytes=learner.memory_bytes(),
        library_versions={"torch": torch.__version__},
    )


def _started(config: DrillConfig, learner, resumed_step: int) -> dict[str, Any]:
    return {
        "total_steps": config.steps,
        "epochs": math.ceil(config.steps / learner.steps_per_epoch),
        "batch_size": ROWS_PER_STEP,
        "gradient_accumulation_steps": 1,
        "train_rows": ROWS,
        "held_out_rows": HELD_OUT_ROWS,
        "shortened_rows": 0,
        "dropped_turns": 0,
        "cut_tokens": 0,
        "trainable_parameters": sum(parameter.numel() for parameter in learner.network.parameters()),
        "device": "cpu (drill)",
        "processes": learner.ranks.count,
        "quantization": "none",
        "resumed_step": resumed_step,
    }
