"""An engine whose steps are arithmetic of about two milliseconds, in blocks: saying its numbers, then silent, in turns.

`python -m bench.blocky_engine TOLD POINTS RUN.json` says POINTS numbers in all, and writes into TOLD what a step took
in the blocks of each kind: the median over pairs of blocks, so that whatever else the machine does hits both alike.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

from training.engine.progress import JsonLines  # noqa: E402

BLOCK = 250  # steps
NUMBERS = 12  # that a step says
STEP_SECONDS = 0.002


def work(rounds: int, matrix: np.ndarray) -> np.ndarray:
    for _ in range(rounds):
        matrix = np.tanh(matrix @ matrix.T * 1e-3)
    return matrix


def fitting_rounds(matrix: np.ndarray) -> int:
    """How often the arithmetic is done so that a step takes `STEP_SECONDS` on this machine."""
    times = []
    for _ in range(30):
        begun = time.perf_counter()
        work(10, matrix)
        times.append((time.perf_counter() - begun) / 10)
    return max(1, round(STEP_SECONDS / min(times)))


def main(told: Path, points: int) -> None:
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {0})  # the worker has the others
    reporter = JsonLines(sys.stdout)
    matrix = np.random.default_rng(1).normal(size=(96, 96))
    rounds = fitting_rounds(matrix)
    blocks = max(2, points // (BLOCK * NUMBERS))
    total = blocks * BLOCK
    reporter.report("started", total_steps=total, epochs=1, batch_size=1, gradient_accumulation_steps=1,
                    train_rows=1, held_out_rows=0, shortened_rows=0, dropped_turns=0, trainable_parameters=1,
                    device="cpu")  # fmt: skip
    step, pairs = 0, []
    for block in range(blocks):
        taken = {}
        for is_said in (True, False) if block % 2 else (False, True):
            begun = time.perf_counter()
            for _ in range(BLOCK):
                matrix = work(rounds, matrix)
                if is_said:
                    step += 1
                    loss = float(abs(matrix[0, 0]))
                    reporter.report(
                        "step", step=step, epoch=step / total, loss=loss, learning_rate=1e-4 / step, grad_norm=loss * 3,
                        tokens=512 * step, tokens_per_second=1e4 + loss, eta_seconds=1.0, memory_bytes=2**33,
                        rewards_chosen=loss, rewards_rejected=-loss, rewards_margin=2 * loss, rewards_accuracy=loss / 2,
                    )  # fmt: skip
            taken[is_said] = (time.perf_counter() - begun) / BLOCK * 1000
        pairs.append(taken)
    silent = statistics.median(pair[False] for pair in pairs)
    slowed = statistics.median(pair[True] / pair[False] for pair in pairs)
    told.write_text(json.dumps({"said_ms": silent * slowed, "silent_ms": silent, "said_steps": total}))
    reporter.report("failed", reason="unexpected", message="The measurement is over.", advice="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
