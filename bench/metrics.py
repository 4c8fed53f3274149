"""Metrics: steps written a second, what writing costs the training that says them, and opening a curve of a million.

`APEX_BENCH_STEPS` (1,000,000; 0: no curve) is the length of the curve, `APEX_BENCH_POINTS` (1,000,000) how many numbers
the training says whose slow-down is measured.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from bench.figures import figure
from tests.stack import ROOT

NAMES = {
    "written": (
        "steps of 8 numbers written, in batches of 1,000",
        "steps/s",
        "bulk_create of one row a step",
    ),
    "slowed": ("time of a training step whose numbers are kept", "ms", "the same step, saying nothing"),
    "opened": ("opening the curve of all steps, server time", "ms", "every point of one row a step as JSON"),
    "bytes": ("opening the curve of all steps, bytes", "B", "every point of one row a step as JSON"),
    "zoomed": ("zooming to a tenth of it, server time", "ms", "the same of one row a step"),
}


def measure() -> Iterator[dict]:
    """Yield each figure as the process with a database of its own says it."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        environment = os.environ | {"APEX_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "apex.settings.test"}
        environment.pop("APEX_TRACKER", None)
        with subprocess.Popen(
            [sys.executable, "-m", "bench.metric_points"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stdout:
                said = json.loads(line)
                name, unit, peer = NAMES[said["figure"]]
                yield figure(name, said["value"], unit, peer, said["peer"])
        if process.returncode:
            raise RuntimeError(f"the measurement ended with code {process.returncode}")
