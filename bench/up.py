"""`make up` to ready: cold (a fresh clone), first (installed, no data yet) and warm (everything there).

"Ready" is when `/healthz` is green and the address is printed; "all" is when every process says that it is ready.
Peers, in the same run: for cold, installing alone; for the others, the bare web server on the same data, which
is the least that could be waited for.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from apex.processes.plan import healthz, web
from bench.figures import figure
from tests.stack import ROOT, Stack, free_port

ROUNDS = 3


def measure() -> Iterator[dict]:
    """Yield one figure after the other; the cold one, which installs everything anew, comes last."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        stack = Stack(Path(folder) / "data")
        first_ready, _ = start_once(stack)
        warm, bare = [], []
        for _ in range(ROUNDS):  # interleaved, so that a busy moment hits both
            bare.append(bare_web(stack))
            warm.append(start_once(stack))
        ready, every = (statistics.median(times) for times in zip(*warm, strict=True))
        peer = ("s", "bare web server", statistics.median(bare))
        yield figure("make up to ready, no data yet", first_ready, *peer)
        yield figure("make up to ready, second time", ready, *peer)
        yield figure("make up to all processes, second time", every, *peer)
    yield cold_start()


def start_once(stack: Stack) -> tuple[float, float]:
    """Start and stop once; return the seconds to ready and to all processes ready."""
    begun = time.monotonic()
    stack.start()
    every = time.monotonic() - begun
    ready = stack.seconds_to_ready
    stack.stop()
    return ready, every


def bare_web(stack: Stack) -> float:
    """Return the seconds until the web server alone answers `/healthz` (with 503, as there is no broker)."""
    port = free_port()
    begun = time.monotonic()
    process = subprocess.Popen(
        web("127.0.0.1", port).command,
        cwd=ROOT,
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while healthz("127.0.0.1", port, "localhost") is None:
            if process.poll() is not None:
                raise RuntimeError(f"the web server ended with {process.returncode}")
            time.sleep(0.02)
        return time.monotonic() - begun
    finally:
        process.terminate()
        process.wait()


def cold_start() -> dict:
    """Clone the last commit, run `make up` there and return the time until it is ready, beside installing alone."""
    with tempfile.TemporaryDirectory(prefix="apex-cold-") as folder:
        clone = Path(folder) / "apex"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, clone], check=True)
        environment = {**os.environ, "APEX_PORT": str(free_port()), "APEX_DATA_DIR": str(clone / "var")}
        begun = time.monotonic()
        subprocess.run(["make", "install"], cwd=clone, env=environment, check=True, stdout=sys.stderr)
        installed = time.monotonic() - begun
        process = subprocess.Popen(
            ["make", "up"],
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            if not any("Apex is ready" in line for line in process.stdout or ()):
                raise RuntimeError("make up ended before it was ready")
            ready = time.monotonic() - begun
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
            shutil.rmtree(clone, ignore_errors=True)
    return figure("make up to ready, fresh clone", ready, "s", "installing alone", installed)
