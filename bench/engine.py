"""Tokens per second of the engine, against a plain TRL script and a plain torch loop.

The same base model (the demo), rows, settings and number of steps for all; each in a process of its own on
the same single core, in turns, so that a busy machine slows all alike. What counts is the time of training
alone, without imports and loading, over tokens without padding. A result counts only if the held-out losses
agree.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import figure

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "base_models" / "demo" / "model"
ROWS = ROOT / "datasets_app" / "demo" / "harbour-guide.jsonl"
ROUNDS = 3
TRAIN_ROWS, HELD_OUT_ROWS = 160, 24
SETTINGS = {"epochs": 2, "min_steps": 1, "learning_rate": 1e-3, "eval_steps": 1_000_000, "precision": "fp32"}
# Orders and dropout differ, so the losses do a little: in nats per token.
LARGEST_DIFFERENCE = 0.05
# Libraries print Python dicts, which start with a single quote.
JSON_OBJECT = '{"'


def measure() -> Iterator[dict]:
    """Tokens per second, the median of the rounds, with the median of the rounds' ratios."""
    found: dict[str, list[dict]] = {"engine": [], "trl": [], "loop": []}
    with tempfile.TemporaryDirectory() as directory:
        run = prepare(Path(directory))
        for _ in range(ROUNDS):
            for name, results in found.items():
                results.append(run_engine(run) if name == "engine" else run_peer(name, run))
    names = {"trl": "plain TRL SFTTrainer script", "loop": "plain torch and PEFT loop"}
    for peer, words in names.items():
        check_losses(found["engine"], found[peer], words)
        pairs = zip(found["engine"], found[peer], strict=True)
        ratio = statistics.median(ours["speed"] / theirs["speed"] for ours, theirs in pairs)
        ours = statistics.median(result["speed"] for result in found["engine"])
        theirs = statistics.median(result["speed"] for result in found[peer])
        yield {
            **figure("engine: training on one core", ours, "tokens/s", words, theirs),
            "ratio": round(ratio, 3),
        }


def prepare(directory: Path) -> Path:
    """RUN.json in `directory`, with the first rows of the demo dataset."""
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    held_out = [row for row in rows if row["split"] == "held_out"]
    # Whatever the dataset holds, every peer gets as many rows.
    train = (train * (TRAIN_ROWS // len(train) + 1))[:TRAIN_ROWS]
    rows_path, path = directory / "rows.jsonl", directory / "RUN.json"
    rows_path.write_text("".join(json.dumps(row) + "\n" for row in [*train, *held_out[:HELD_OUT_ROWS]]))
    run = {
        "base_model_dir": str(MODEL),
        "rows_path": str(rows_path),
        "output_dir": str(directory / "out"),
        "config": SETTINGS,
        "lineage": {"job": "bench", "base_model": "apex-demo"},
    }
    path.write_text(json.dumps(run))
    return path


def run_engine(run: Path) -> dict:
    """{"speed": tokens per second, "loss": held-out loss at the end} of one training by the engine."""
    events = on_one_core("training.engine", "--keep-running", str(run))
    if events[-1]["event"] != "finished":
        raise RuntimeError(f"the engine ended with {events[-1]}")
    last = [event for event in events if event["event"] == "step"][-1]
    return {"speed": last["tokens_per_second"], "loss": events[-1]["eval_loss"]}


def run_peer(name: str, run: Path) -> dict:
    return on_one_core("bench.engine_peers", name, str(run))[-1]


def on_one_core(module: str, *words: str) -> list[dict]:
    """What `python -m module …` prints, one JSON object a line, run on the last core this process may use."""
    core = max(os.sched_getaffinity(0))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise RuntimeError(f"{module} {words[0]} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(JSON_OBJECT)]


def check_losses(ours: list[dict], theirs: list[dict], words: str) -> None:
    """Raises RuntimeError unless both have learned the same."""
    own, other = ours[0]["loss"], theirs[0]["loss"]
    if abs(own - other) > LARGEST_DIFFERENCE:
        raise RuntimeError(f"held-out losses differ: engine {own:.4f}, {words} {other:.4f}")
