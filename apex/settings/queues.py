"""Which queue a task goes to. Training queues are pinned: one per GPU, or one for the processor."""

import os
import re
import shutil
import subprocess


def count_gpus() -> int:
    """GPUs that this node trains on: `APEX_GPUS` if set, else what `nvidia-smi -L` lists."""
    given = os.environ.get("APEX_GPUS")
    if given is not None:
        return int(given)
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def node_name() -> str:
    """`APEX_NODE`: this machine's name among several on one broker; empty where there is only one."""
    name = os.environ.get("APEX_NODE", "").strip()
    if name and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise ValueError(f"APEX_NODE is {name!r}; give it up to 40 letters, digits, - and _.")
    return name


def training_queues(gpus: int, node: str = "") -> list[str]:
    """`gpu0`, `gpu1`, … or `cpu` where there is no GPU; on a node with a name `NAME.gpu0`, …"""
    devices = [f"gpu{index}" for index in range(gpus)] or ["cpu"]
    return [f"{node}.{device}" if node else device for device in devices]


def device_of(queue: str) -> tuple[str, int]:
    """Kind and number of the device whose queue it is: `("gpu", 1)` for `NAME.gpu1`, `("cpu", 0)` for any other."""
    device = queue.rpartition(".")[2]
    return ("gpu", int(device[3:])) if re.fullmatch(r"gpu\d+", device) else ("cpu", 0)
