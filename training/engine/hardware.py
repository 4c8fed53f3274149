"""What this machine has: processors, memory, GPUs. No torch, so that the web process may ask."""

import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
QUERY = "--query-gpu=index,name,memory.total,memory.free"
MIB = 1024**2


@dataclass(frozen=True)
class Gpu:
    index: int
    name: str
    memory_total_bytes: int
    memory_free_bytes: int


@dataclass(frozen=True)
class Hardware:
    """`cpus` may be used by this process; memory in bytes, within the limits of its container."""

    cpus: int
    memory_total_bytes: int
    memory_free_bytes: int
    gpus: tuple[Gpu, ...] = ()


def read_hardware() -> Hardware:
    """Asks the machine anew; takes a few milliseconds, or up to seconds where there is an NVIDIA driver."""
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    limit, used = _number(CGROUP / "memory.max"), _number(CGROUP / "memory.current")
    if limit is not None and limit < total:
        total = limit
        free = min(free, limit - min(used or 0, limit))
    return Hardware(usable_cpus(), total, free, read_gpus())


def usable_cpus() -> int:
    """Processors this process may run on, within the quota of its container; at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    path = CGROUP / "cpu.max"
    if path.is_file():
        quota, _, period = path.read_text().strip().partition(" ")
        if quota.isdigit() and period.isdigit():
            cpus = min(cpus, max(1, round(int(quota) / int(period))))
    return max(1, cpus)


def peak_memory_of_process() -> int:
    """The most memory that this process has taken at once, in bytes."""
    # The kernel counts in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def training_threads(parameters: int, cpus: int) -> int:
    """Threads for a training on a machine with so many processors.

    A model of up to 30 million parameters gains little from more than half of the processors, and loses much
    where the others are busy, because its threads wait for each other after every small operation.
    """
    return max(1, cpus // 2) if parameters < 30_000_000 else cpus


def read_gpus() -> tuple[Gpu, ...]:
    """What `nvidia-smi` lists; empty where it is missing or finds nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run(
            [program, QUERY, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(answer.stdout) if answer.returncode == 0 else ()


def read_driver() -> str:
    """Version of the NVIDIA driver; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    words = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = answer.stdout.strip().splitlines()
    return lines[0].strip() if answer.returncode == 0 and lines else ""


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Lines `index, name, total MiB, free MiB`; a line in any other form is left out."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and parts[0].isdigit() and parts[2].isdigit() and parts[3].isdigit():
            found.append(Gpu(int(parts[0]), parts[1], int(parts[2]) * MIB, int(parts[3]) * MIB))
    return tuple(found)


def _number(path: Path) -> int | None:
    """The number in a file of the kernel; None for "max" or no such file."""
    if not path.is_file():
        return None
    text = path.read_text().strip()
    return int(text) if text.isdigit() else None
