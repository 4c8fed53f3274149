"""Starts a real vLLM on the processor for a test, once its environment is there.

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

from apex.processes.child import die_with_parent
from serving.vllm_command import VllmServer
from tests.stack import free_port
from tests.vllm_beside import NotThere, wait_for_vllm

# Of a test that waits for the server, and for its environment where that is missing.
PATIENCE_SECONDS = 1200
START_SECONDS = 600  # half a minute on a machine that is not busy
# One process fewer, which takes half the time to start. Nobody binds its threads to cores then: of several, each waits
# for the others by spinning, which on busy cores takes a hundred times as long.
QUICK = (
    {"more": ("--distributed-executor-backend", "uni")},
    {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"},
)


class RealVllm:
    """A running server: `url`, `command` and its process."""

    def __init__(self, command: VllmServer, log: Path, environment: dict[str, str] | None = None):
        self.command, self.log, self.url = command, log, command.url
        self.environment = environment or {}
        self.process: subprocess.Popen | None = None
        self.seconds_to_ready = 0.0

    def start(self) -> None:
        begun = time.monotonic()
        parent = os.getpid()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command.command(),
                env=self.command.environment() | self.environment,
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
    """Where it is installed; without a network its tests are left out, and without a reason they fail."""
    try:
        return wait_for_vllm()
    except NotThere as problem:
        pytest.skip(str(problem))


@contextmanager
def running_vllm(base: Path, *, log: Path, served_name: str = "demo", is_quick: bool = False, **options):
    """`options` are those of `VllmServer`."""
    more, environment = QUICK if is_quick else ({}, {})
    options = {"adapters": 2, "most_rank": 16, "context": 512} | more | options
    command = VllmServer(
        program=environment_dir() / "bin" / "vllm",
        base_directory=base,
        served_name=served_name,
        port=free_port(),
    )
    server = RealVllm(replace(command, **options), log, environment)
    try:
        server.start()
        yield server
    finally:
        server.stop()
