"""Several processes for one job: the engine becomes `accelerate launch`, with a configuration written for this run.

`"processes": 2` in RUN.json asks for it. The process that a worker started stays the one that it started, so words on
standard input, events on standard output and its end are as with one process. No torch: the launcher loads it.
"""

import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

from training.engine.errors import BAD_CONFIG, EngineError
from training.engine.hardware import read_gpus
from training.engine.progress import JsonLines

CONFIG_FILE = "accelerate.json"
MODULE = "training.engine"
# A node's processes talk through its own loopback, whatever its name resolves to.
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


def is_launched() -> bool:
    """True in a process that the launcher started."""
    return "LOCAL_RANK" in os.environ


def processes_of(run: dict[str, Any]) -> int:
    """How many processes the run asks for, 1 if it does not say; raises EngineError (bad_config)."""
    count = run.get("processes", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 64:
        raise EngineError(BAD_CONFIG, f"processes is {count!r}; it should be a whole number from 1 to 64.")
    return count


def become_launcher(run_path: Path, run: dict[str, Any], arguments: list[str], events: JsonLines) -> None:
    """Replaces this process by the launcher of as many as `run` asks for; returns where one is enough.

    `arguments` are those of the engine, `events` what it took from standard output. Raises EngineError (bad_config)
    if there are fewer GPUs.
    """
    count = processes_of(run)
    if count == 1 or is_launched():
        return
    gpus = visible_gpus()
    if gpus and gpus < count:
        raise EngineError(
            BAD_CONFIG,
            f"The training asks for {count} GPUs; here are {gpus}.",
            "Ask for fewer, or choose a machine that has as many.",
        )
    _keep_stream(run_path, run)
    config_path = run_path.with_name(CONFIG_FILE)
    config_path.write_text(json.dumps(launch_config(run, count, is_gpu=gpus > 0), indent=2, sort_keys=True))
    if sys.platform == "linux":
        for name, value in LOOPBACK.items():
            os.environ.setdefault(name, value)
    events.give_back()
    os.execv(sys.executable, launch_command(config_path, arguments))


def launch_command(config_path: Path, arguments: list[str]) -> list[str]:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config_path)]
    return [*launcher, "--module", MODULE, *arguments]


def launch_config(run: dict[str, Any], processes: int, *, is_gpu: bool) -> dict[str, Any]:
    """Accelerate's configuration of a run on this machine alone."""
    settings = run.get("config") or {}
    is_sharded = settings.get("spread") == "fsdp"
    is_bf16 = settings.get("precision", "auto") == "bf16" or (settings.get("precision") != "fp32" and is_gpu)
    return {
        "compute_environment": "LOCAL_MACHINE",
        # Its launcher starts several processes on a CPU only by MPI, or under this name; they find out by themselves.
        "distributed_type": "FSDP" if is_sharded else "MULTI_GPU",
        "use_cpu": not is_gpu,
        "num_machines": 1,
        "machine_rank": 0,
        "num_processes": processes,
        "main_process_ip": "127.0.0.1",
        "main_process_port": 0,
        "main_training_function": "main",
        "mixed_precision": "bf16" if is_bf16 else "no",
        "rdzv_backend": "static",
        "same_network": True,
        "debug": False,
        **({"fsdp_config": fsdp_config()} if is_sharded else {}),
    }


def fsdp_config() -> dict[str, Any]:
    """Every layer's weights in pieces on all processes, put together only while it computes."""
    return {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_reshard_after_forward": True,
        "fsdp_offload_params": False,
        "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        # The first process alone reads the base model from disk.
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_activation_checkpointing": False,
    }


def visible_gpus() -> int:
    """GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = len(read_gpus())
    return count if named is None else min(count, len([part for part in named.split(",") if part.strip()]))


def _keep_stream(run_path: Path, run: dict[str, Any]) -> None:
    """Rows that come through a pipe can be read once: they are kept beside RUN.json, for as long as its folder."""
    rows = Path(run["rows_path"])
    if not rows.exists() or not stat.S_ISFIFO(rows.stat().st_mode):
        return
    kept = run_path.with_name("rows.jsonl")
    with rows.open("rb") as stream, open(kept, "wb", opener=_for_us_alone) as file:
        shutil.copyfileobj(stream, file)
    run["rows_path"] = str(kept)
    run_path.write_text(json.dumps(run), encoding="utf-8")


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
