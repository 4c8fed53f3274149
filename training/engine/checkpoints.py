"""Checkpoints: everything a training needs to go on as if nothing had happened, whole on disk or not there.

A checkpoint is a directory `step-00000120`:

| file | what |
|---|---|
| `adapter_model.safetensors`, `adapter_config.json` | the adapter as PEFT writes it |
| `training.safetensors` | optimiser, random generators, history |
| `best.safetensors` | the best adapter so far, unless it is the one above |
| `state.json` | numbers: schedule, place in the data, counters |
| `manifest.json` | size and sha256 of each |

Nothing in it can run code: safetensors and JSON alone.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from training.engine.errors import BAD_CHECKPOINT, EngineError, disk_full, is_disk_error
from training.engine.manifests import ADVICE, flush_to_disk, verify, write_manifest
from training.engine.sharding import whole

ADAPTER_FILE, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
TRAINING_FILE, BEST_FILE, STATE_FILE = "training.safetensors", "best.safetensors", "state.json"
Tensors = dict[str, torch.Tensor]


@dataclass
class Snapshot:
    """A training between two steps. `tensors` and `numbers` are what its parts gave; `adapter` as PEFT names it.

    `best` is the best adapter so far, None where that is `adapter` itself or none was checked yet.
    """

    step: int
    adapter: Tensors
    tensors: Tensors
    numbers: dict[str, Any]
    best: Tensors | None = None


@dataclass(frozen=True)
class Written:
    path: Path
    size_bytes: int


def checkpoint_name(step: int) -> str:
    return f"step-{step:08d}"


def write_checkpoint(
    directory: Path, snapshot: Snapshot, write_adapter: Callable[[Path, Tensors], None]
) -> Written:
    """Writes `snapshot` below `directory`, flushed to disk before it takes its name.

    `write_adapter(path, tensors)` leaves the adapter's two files in `path`. If anything goes wrong nothing is left
    behind and the error goes on; of a full disk it is an EngineError (disk_full).
    """
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob(".step-*"):  # by one that was killed while it wrote
        shutil.rmtree(left)
    target = directory / checkpoint_name(snapshot.step)
    draft = directory / f".{target.name}.{os.getpid()}"
    with _gone_on_error(draft, f"the checkpoint of step {snapshot.step}"):
        draft.mkdir()
        write_adapter(draft, snapshot.adapter)
        save_file(_kept(snapshot.tensors), draft / TRAINING_FILE)
        if snapshot.best is not None:
            save_file(_kept(snapshot.best), draft / BEST_FILE)
        # allow_nan: a number that is none would not be read back as what it was.
        text = json.dumps({"step": snapshot.step, **snapshot.numbers}, allow_nan=False)
        (draft / STATE_FILE).write_text(text, encoding="utf-8")
        size = write_manifest(draft, snapshot.step)
        _flush_all(draft)
        _take_name(draft, target)
    flush_to_disk(directory)
    return Written(target, size)


def read_checkpoint(path: str | Path) -> Snapshot:
    """What `write_checkpoint` wrote; raises EngineError (bad_checkpoint) if a single bit of it is not as it was."""
    path = Path(path)
    verify(path)
    try:
        numbers = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        return Snapshot(
            step=numbers.pop("step"),
            adapter=load_file(path / ADAPTER_FILE),
            tensors=load_file(path / TRAINING_FILE),
            numbers=numbers,
            best=load_file(path / BEST_FILE) if (path / BEST_FILE).exists() else None,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        message = f"The checkpoint {path.name} cannot be read: {error}"
        raise EngineError(BAD_CHECKPOINT, message, ADVICE) from error


@contextlib.contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A draft beside `target` to write into; at the end it is flushed to disk and takes the place of `target`.

    After an error nothing of it is left, and what `target` held before is still there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{target.name}.{os.getpid()}"
    with _gone_on_error(draft, f"the {target.name}"):
        draft.mkdir()
        yield draft
        _flush_all(draft)
        _take_name(draft, target)
    flush_to_disk(target.parent)


def part(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """`values` under names that begin with `prefix` and a slash, so that several parts share one file."""
    return {f"{prefix}/{name}": value for name, value in values.items()}


def part_of(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """What `part(prefix, …)` put among `values`."""
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}


def optimizer_state(optimizer) -> tuple[Tensors, dict[str, Any]]:
    """(tensors, numbers) of an optimiser, for `load_optimizer_state`; tensors in pieces are put together."""
    state = optimizer.state_dict()
    tensors: Tensors = {}
    numbers: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            is_tensor = isinstance(value, torch.Tensor)
            (tensors if is_tensor else numbers)[f"{index}.{name}"] = whole(value) if is_tensor else value
    groups = [{k: v for k, v in group.items() if k != "params"} for group in state["param_groups"]]
    return tensors, {"values": numbers, "groups": groups}


def load_optimizer_state(optimizer, tensors: Tensors, numbers: dict[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *numbers["values"].items()]:
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    groups = []
    for saved, now in zip(numbers["groups"], optimizer.state_dict()["param_groups"], strict=True):
        # JSON knows no tuples, and betas are one.
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()}
        groups.append({**plain, "params": now["params"]})
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _kept(tensors: Tensors) -> Tensors:
    """On the CPU and in one piece, as safetensors wants them; two names for one tensor become two tensors."""
    seen: set[int] = set()
    kept: Tensors = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        kept[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return kept


@contextlib.contextmanager
def _gone_on_error(draft: Path, what: str) -> Iterator[None]:
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if is_disk_error(error):
            raise disk_full(error, what) from error
        raise


def _flush_all(directory: Path) -> None:
    """Flushes the files of `directory` together, which costs the disk about as much as one, then its names."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(flush_to_disk, directory.iterdir()))
    flush_to_disk(directory)


def _take_name(draft: Path, target: Path) -> None:
    """Renames `draft` to `target`; what stood there, from an earlier try at the same step, goes."""
    if not target.exists():
        draft.rename(target)
        return
    before = draft.with_name(draft.name + ".before")
    target.rename(before)
    draft.rename(target)
    shutil.rmtree(before)
