"""Checks an adapter directory before PEFT opens it, so that a refusal says what is wrong in plain words."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open

from serving.protocol import ApiError

MAX_RANK = 256


def check_adapter(directory: Path) -> dict[str, list[int]]:
    """Shapes by tensor name of a LoRA adapter; raises ApiError when it is missing or of a kind we cannot serve."""
    config_path, weights_path = directory / "adapter_config.json", directory / "adapter_model.safetensors"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise ApiError(
                f"No adapter found at {directory}: {path.name} is missing.", status=404, param="lora_path"
            )
    try:
        config = json.loads(config_path.read_text())
        with safe_open(weights_path, framework="numpy") as weights:
            shapes = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    # safetensors raises an exception type of its own for a torn file.
    except Exception as error:
        raise ApiError(f"The adapter at {directory} cannot be read: {error}", param="lora_path") from error
    _check_config(config, directory)
    return shapes


def _check_config(config: dict, directory: Path) -> None:
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    wrong = {
        "peft_type": config.get("peft_type") != "LORA",
        "use_dora": bool(config.get("use_dora")),
        "lora_bias": bool(config.get("lora_bias")),
        "bias": config.get("bias", "none") != "none",
        "modules_to_save": bool(config.get("modules_to_save")),
        "r": not all(isinstance(rank, int) and 1 <= rank <= MAX_RANK for rank in ranks),
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ApiError(
                f"The adapter at {directory} has {name} = {config.get(name)!r}. Served are plain LoRA adapters "
                f"of rank 1 to {MAX_RANK}, without DoRA, trained biases or whole saved modules.",
                param="lora_path",
            )


def check_fits(shapes: dict[str, list[int]], base_shapes: dict[str, tuple[int, ...]], base_name: str) -> None:
    """Refuses an adapter that was made for another model: each A and B must fit a weight of the base.

    `base_shapes` maps module names to the shape of their weight, (out, in). A wrong adapter of the right shapes
    cannot be told apart here; the caller knows which base an adapter belongs to.
    """
    for name, shape in shapes.items():
        module, found, side = name.removeprefix("base_model.model.").partition(".lora_")
        base = base_shapes.get(module)
        fits = (
            bool(found)
            and base is not None
            and len(shape) == 2
            and (shape[1] == base[1] if side.startswith("A") else shape[0] == base[0])
        )
        if not fits:
            shown = "no such part" if base is None else f"a part of shape {list(base)}"
            raise ApiError(
                f"The adapter does not belong to the base model {base_name!r}: its tensor {name} has shape "
                f"{shape}, where the base has {shown}.",
                param="base_model", code="adapter_does_not_fit",
            )  # fmt: skip
