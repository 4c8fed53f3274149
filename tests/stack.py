"""A whole Apex for tests: `manage.py up` with a data directory and a port of its own, stopped without leftovers.

with Stack(tmp_path) as stack:
    stack.url, stack.manage("create_token", "admin"), stack.pid("worker-cpu")
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
ADMIN_PASSWORD = "the-password-of-the-tests"
# Asked on this machine, where a test starts a stand-in for as long as it needs one; and what is at their addresses.
PROVIDERS = {"openai": "/v1", "anthropic": "", "nvidia": "/v1", "huggingface": "/v1"}
# Of a place that is told about trainings by choice; nobody has chosen it.
TRACKER_KEY = "a-trackers-key-of-the-tests-0123456789"


class Stack:
    """One running Apex. `options` become environment variables, such as `APEX_GPUS="0"`."""

    def __init__(self, data: Path, **options: str):
        self.data = Path(data)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.console = self.data / "console.txt"
        self.environment = {
            # Settings of the person who runs the tests must not reach into them.
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("APEX_", "DJANGO_"))
            },
            "APEX_DATA_DIR": str(self.data),
            "APEX_PORT": str(self.port),
            "APEX_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "APEX_GPUS": "0",
            **options,
        }
        self.provider_ports: dict[str, int] = {}
        self.process: subprocess.Popen | None = None
        self.seconds_to_ready = 0.0
        self.seen: dict[int, psutil.Process] = {}
        self.clerk: subprocess.Popen | None = None

    # --- starting and stopping ---------------------------------------------------------------------------

    def start(self, timeout: float = 120, everything: bool = True) -> "Stack":
        """Start and wait until `/healthz` is green and, with `everything`, all processes are ready."""
        self.data.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        with open(self.console, "wb") as console:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_until(lambda: "Apex is ready" in self.said(), "the site to be ready", timeout)
        self.seconds_to_ready = time.monotonic() - begun
        if everything:
            self.wait_until(
                lambda: all(facts["is_ready"] for facts in self.processes().values()),
                "all processes",
                timeout,
            )
        return self

    def stop(self, number: int = signal.SIGINT, timeout: float = 40) -> int:
        """Stop as Ctrl-C does (or by another signal), check that no process is left, return the exit code."""
        if self.process is None:
            return 0
        self.dismiss_clerk()
        self.note_processes()
        self.process.send_signal(number)
        try:
            code = self.process.wait(timeout)
        finally:
            left = self.left_behind()
            for process in left:
                process.kill()
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process = None
        assert not left, f"left behind after the stop: {left}\n{self.said()}"
        return code

    def __enter__(self) -> "Stack":
        try:
            return self.start()
        except BaseException:
            self.stop(signal.SIGTERM)
            raise

    def __exit__(self, *_error: object) -> None:
        self.stop()

    # --- looking ---------------------------------------------------------------------------------------

    def said(self) -> str:
        """Return all that `manage.py up` has printed since the last start."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def log(self, name: str) -> str:
        """Return the log of one process, such as `worker-cpu`."""
        return (self.data / "logs" / f"{name}.log").read_text(errors="replace")

    def processes(self) -> dict[str, dict]:
        """Return `{name: {"pid", "is_ready", "starts"}}` as `up` sees them now."""
        return json.loads((self.data / "processes.json").read_text())["processes"]

    def pid(self, name: str) -> int:
        """Return the process number of one process. Raises KeyError for a name that is not in the plan."""
        return self.processes()[name]["pid"]

    @property
    def worker_pids(self) -> dict[str, int]:
        """Return the process numbers of the workers, by name."""
        return {name: facts["pid"] for name, facts in self.processes().items() if name.startswith("worker-")}

    def manage(self, *arguments: str, timeout: float = 120) -> str:
        """Run a command of `manage.py` beside the running site and return what it printed. Raises if it fails.

        All of them in one process, `tests/clerk.py`: loading Apex takes longer than any of them.
        """
        if self.clerk is None:
            with open(self.data / "logs" / "clerk.log", "ab") as log:
                self.clerk = subprocess.Popen(
                    [sys.executable, "-m", "tests.clerk"],
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        assert self.clerk.stdin is not None and self.clerk.stdout is not None
        print(json.dumps(arguments), file=self.clerk.stdin, flush=True)
        assert select.select([self.clerk.stdout], [], [], timeout)[0], (
            f"no answer in {timeout} s: {arguments}"
        )
        line = self.clerk.stdout.readline()
        assert line, f"manage.py {arguments} ended its process:\n{self.log('clerk')[-4000:]}"
        answer = json.loads(line)
        assert not answer["problem"], f"manage.py {arguments} failed:\n{answer['problem']}"
        return answer["said"]

    def dismiss_clerk(self) -> None:
        """End the process of `manage`; the next call starts another."""
        if self.clerk is not None:
            self.clerk.kill()
            self.clerk.communicate()
            self.clerk = None

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Wait until `condition()` is true. Fails with the console's text if Apex ends or the time is over."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if condition():
                    return
            except (FileNotFoundError, json.JSONDecodeError):
                pass  # not written yet
            assert self.process is not None and self.process.poll() is None, f"Apex has ended:\n{self.said()}"
            assert time.monotonic() < deadline, f"waited {timeout} s for {what}:\n{self.said()}"
            time.sleep(0.05)

    # --- leftovers -------------------------------------------------------------------------------------

    def note_processes(self) -> None:
        """Remember every process that descends from `up` now, so that `left_behind` can look for it later."""
        if self.process is not None and self.process.poll() is None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self.seen[process.pid] = process

    def left_behind(self) -> list[psutil.Process]:
        """Return the noted processes that still run, and any other whose environment names our data directory."""
        left = {pid: process for pid, process in self.seen.items() if process.is_running()}
        for process in psutil.process_iter():
            try:
                if process.environ().get("APEX_DATA_DIR") == str(self.data):
                    left[process.pid] = process
            except psutil.Error:
                continue
        if self.process is not None:
            left.pop(self.process.pid, None)
        return [process for process in left.values() if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """False for one that has ended, also while we look, or that only waits to be noticed."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running Apex for all tests of the session that need a whole one; each test uses people of its own.

    `provider_ports` are where it asks OpenAI and others, by their names.
    """
    ports = {name: free_port() for name in PROVIDERS}
    urls = ",".join(f"{name}=http://127.0.0.1:{ports[name]}{path}" for name, path in PROVIDERS.items())
    options = {"APEX_PROVIDER_URLS": urls, "WANDB_API_KEY": TRACKER_KEY}
    with Stack(tmp_path_factory.mktemp("stack"), **options) as running:
        running.provider_ports = ports
        yield running
