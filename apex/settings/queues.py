"""Which queue a task goes to. Training queues are pinned: one per GPU, or one for the processor."""

import os
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


def training_queues(gpus: int) -> list[str]:
    """`gpu0`, `gpu1`, … or `cpu` where there is no GPU."""
    return [f"gpu{index}" for index in range(gpus)] or ["cpu"]


def visible_devices(queue: str) -> str:
    """Value of `CUDA_VISIBLE_DEVICES` for a child that serves this queue; empty hides every GPU."""
    return queue.removeprefix("gpu") if queue.startswith("gpu") else ""
