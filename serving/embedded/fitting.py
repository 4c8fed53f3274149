"""Whether an adapter directory can be put on a base in memory; what an adapter may be says `serving.adapter_config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open

from serving.adapter_config import CONFIG, WEIGHTS, check_config, rank_of, read_config
from serving.backends.base import AdapterRefused
from serving.protocol import ApiError

MAX_RANK = 256


def check_adapter(directory: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The configuration and the shapes by tensor name of a LoRA adapter.

    Raises ApiError when it is missing or of a kind we cannot serve.
    """
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise ApiError(
                f"No adapter found at {directory}: {name} is missing.", status=404, param="lora_path"
            )
    try:
        config = read_config(directory / CONFIG)
        check_config(config, MAX_RANK)
        with safe_open(directory / WEIGHTS, framework="numpy") as weights:
            shapes = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except AdapterRefused as refused:
        raise ApiError(refused.message, status=refused.status, param="lora_path") from refused
    # safetensors raises an exception type of its own for a torn file.
    except Exception as error:
        raise ApiError(f"The adapter at {directory} cannot be read: {error}", param="lora_path") from error
    return config, shapes


def part_and_side(name: str) -> tuple[str, str]:
    """`("model.layers.0.mlp.up_proj", "A")` for a tensor's name; the side is empty for what is no LoRA weight."""
    part, _, side = name.removeprefix("base_model.model.").partition(".lora_")
    return part, {"A.weight": "A", "B.weight": "B"}.get(side, "")


def check_fits(
    config: dict[str, Any],
    shapes: dict[str, list[int]],
    base_shapes: dict[str, tuple[int, ...]],
    base_name: str,
) -> None:
    """Refuses an adapter that was made for another model: each A and B must fit a weight of the base.

    `base_shapes` maps module names to the shape of their weight, (out, in). A wrong adapter of the right shapes
    cannot be told apart here; the caller knows which base an adapter belongs to.
    """
    if not shapes:
        raise ApiError("The adapter holds no weights.", param="lora_path")
    for name, shape in shapes.items():
        part, side = part_and_side(name)
        base = base_shapes.get(part)
        other = name.replace(".lora_A.", ".lora_B.") if side == "A" else name.replace(".lora_B.", ".lora_A.")
        if side and other not in shapes:
            raise ApiError(f"The adapter has {name}, but not {other}.", param="lora_path")
        if not side or base is None or shape != wanted_shape(side, rank_of(part, config), base):
            shown = (
                "no such part"
                if base is None
                else f"a part of shape {list(base)} (rank {rank_of(part, config)})"
            )
            raise ApiError(
                f"The adapter does not belong to the base model {base_name!r}: its tensor {name} has shape "
                f"{shape}, where the base has {shown}.",
                param="base_model", code="adapter_does_not_fit",
            )  # fmt: skip


def wanted_shape(side: str, rank: int, base: tuple[int, ...]) -> list[int]:
    return [rank, base[1]] if side == "A" else [base[0], rank]
