"""LoRA adapters for the demo model as files, made without torch, whole or broken in one way."""

import json
import struct
from pathlib import Path

import numpy as np

DEMO = Path(__file__).resolve().parents[2] / "base_models" / "demo" / "model"
LAYER = "model.layers.{}.self_attn.q_proj"
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "demo",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj"],
    "bias": "none",
    "init_lora_weights": True,
    "use_dora": False,
    "modules_to_save": None,
}
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "BF16": "<u2"}


def tensors(*, layers=4, rank=4, width=192, seed=0) -> dict[str, np.ndarray]:
    """A and B on the query projections of the demo model (192 to 192)."""
    draw = np.random.default_rng(seed)
    found = {}
    for number in range(layers):
        name = f"base_model.model.{LAYER.format(number)}"
        found[f"{name}.lora_A.weight"] = draw.normal(0, 0.2, (rank, width)).astype("<f4")
        found[f"{name}.lora_B.weight"] = draw.normal(0, 0.2, (width, rank)).astype("<f4")
    return found


def safetensors(found: dict[str, np.ndarray], dtypes: dict[str, str] | None = None) -> bytes:
    """The file's bytes; `dtypes` names another type for some."""
    header, data = {}, b""
    for name, array in found.items():
        begin = len(data)
        data += array.tobytes()
        kind = next(kind for kind, code in TYPES.items() if np.dtype(code) == array.dtype)
        header[name] = {
            "dtype": (dtypes or {}).get(name, kind),
            "shape": list(array.shape),
            "data_offsets": [begin, len(data)],
        }
    return with_header(json.dumps(header).encode(), data)


def with_header(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def write_adapter(directory: Path, *, weights: bytes | None = None, **config) -> Path:
    """A good adapter, but for what is given; a value of `...` leaves that line of the config out."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = {name: value for name, value in (CONFIG | config).items() if value is not ...}
    (directory / "adapter_config.json").write_text(json.dumps(lines))
    rank = config.get("r", 4)
    whole = safetensors(tensors(rank=rank if type(rank) is int and 0 < rank < 2048 else 4))
    (directory / "adapter_model.safetensors").write_bytes(whole if weights is None else weights)
    (directory / "README.md").write_text("# An adapter\n")
    return directory
