"""A real Apex whose processes can be ended, stopped, slowed and drained one by one; what ends is started again.

The same commands as `manage.py up` starts, without its waiting longer after each end: here ends are wanted. Two
machines share the work, each with a worker for its processor; they differ by name (`APEX_NODE`) and by clock.
"""

import ctypes
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

from apex.processes import broker, places, plan
from apex.processes.child import Child
from bench.breaking.clock import Clock, build
from bench.breaking.processes import Processes
from tests.stack import ROOT, free_port

NODES = ("north", "south")
# Short, so that what takes minutes in an ordinary life is seen in seconds.
SETTINGS = {
    "APEX_DRILLS": "1",
    "APEX_GPUS": "0",
    "APEX_LEASE_SECONDS": "4",
    "APEX_HEARTBEAT_SECONDS": "0.5",
    "APEX_LOOK_SECONDS": "3",
    "APEX_SWEEP_SECONDS": "1",
    # Where something is broken every other second, bad luck alone may strike one job many times in a row.
    "APEX_TRAINING_TRIES": "50",
    "OMP_NUM_THREADS": "1",
}
CLONE_NEWNS = 0x20000  # sched.h
SMALL_DISKS = {"work": 96, "artifacts": 512}  # MB


class Site(Processes):
    """`with Site(folder) as site:`, then `tick()` often. On SQLite, or on the PostgreSQL of `database_url`."""

    def __init__(self, data: Path, database_url: str = ""):
        super().__init__(mark=("APEX_DATA_DIR", str(data)))
        self.data = data
        self.database_url = database_url
        self.port = free_port()
        self.clocks: dict[str, Clock] = {}
        self.disks: list[Path] = []
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("APEX_", "DJANGO_"))
            },
            **SETTINGS,
            "APEX_DATA_DIR": str(data),
            "APEX_PORT": str(self.port),
            "APEX_ADMIN_PASSWORD": "the-password-of-the-drills",
            "APEX_REDIS_URL": broker.redis_url(data),
            "PYTHONUNBUFFERED": "1",
        }
        # Empty is no address; the site then has its SQLite file.
        self.environment.pop("DATABASE_URL", None)
        if database_url:
            self.environment["DATABASE_URL"] = database_url

    # --- starting and stopping ---

    def __enter__(self) -> "Site":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> "Site":
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mount_small_disks()
        places.make_runtime_dir(self.data)
        self._make_children()
        self.children["broker"].start()
        self.wait_for("broker")
        self.manage("up", "--prepare")
        for name in self.children:
            self.tick_one(name)
        for name in self.children:
            self.wait_for(name)
        return self

    def stop(self) -> None:
        """Ends everything, takes the small disks away and leaves the folder to whoever gave it."""
        self.end_all()
        places.remove_runtime_dir(self.data)
        for disk in self.disks:
            subprocess.run(["umount", str(disk)], check=False, capture_output=True)
        self.disks = []

    def _make_children(self) -> None:
        logs = self.data / "logs"
        logs.mkdir(exist_ok=True)
        server = broker.find_server()
        processes = [
            (plan.broker_process(server, self.data), {}),
            (plan.web("127.0.0.1", self.port), {}),
            (plan.worker("default", concurrency=1), {}),
            (plan.scheduler(self.data), {}),
        ]
        library = build(self.data)
        for node in NODES:
            process = dataclasses.replace(plan.worker(f"{node}.cpu"), name=f"worker-{node}")
            own = {"APEX_NODE": node}
            if library:
                self.clocks[node] = Clock(self.data, library, node)
                own |= self.clocks[node].environment
            processes.append((process, own))
        for process, own in processes:
            self.children[process.name] = Child(process, logs=logs, environment=self.environment | own)

    def _mount_small_disks(self) -> None:
        """Folders on file systems of their own, where we may mount: they can be filled without harm to others.

        Only this process and those that it starts see them, so that they go with the last of these.
        """
        if os.geteuid() != 0 or shutil.which("mount") is None or not hide_mounts():
            return
        for name, megabytes in SMALL_DISKS.items():
            folder = self.data / name
            folder.mkdir(exist_ok=True)
            words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "apex-drill", str(folder)]
            if subprocess.run(words, capture_output=True, check=False).returncode == 0:
                self.disks.append(folder)

    def worker_of(self, pid: int) -> str | None:
        """The name of the training worker with this process number."""
        return next((name for name in self.training_workers if self.children[name].pid == pid), None)

    @property
    def training_workers(self) -> list[str]:
        return [f"worker-{node}" for node in NODES]

    def manage(self, *arguments: str, timeout: float = 180) -> str:
        """Runs `manage.py` beside the site; what it printed. Raises if it fails."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout


def hide_mounts() -> bool:
    """Gives this process a view of the mounts of its own; whether the system allowed it."""
    if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    words = ["mount", "--make-rprivate", "/"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
