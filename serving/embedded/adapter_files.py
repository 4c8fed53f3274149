"""Checks an adapter directory before PEFT opens it, so that a refusal says what is wrong in plain words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open

from serving.adapter_check import PLAIN_PATTERN
from serving.protocol import ApiError

CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
MAX_RANK = 256
# Other ways to begin change the base's own weights, so that the adapter alone is not what was learned.
PLAIN_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")
# Each asks for something beyond adding B·A to a part.
MORE_THAN_LORA = (
    "use_dora", "lora_bias", "modules_to_save", "layer_replication", "alora_invocation_tokens", "use_qalora",
    "use_bdlora", "trainable_token_indices", "target_parameters", "arrow_config", "kasa_config", "monteclora_config",
)  # fmt: skip


def check_adapter(directory: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The configuration and the shapes by tensor name of a LoRA adapter.

    Raises ApiError when it is missing or of a kind we cannot serve.
    """
    config_path, weights_path = directory / CONFIG_NAME, directory / WEIGHTS_NAME
    for path in (config_path, weights_path):
        if not path.is_file():
            raise ApiError(
                f"No adapter found at {directory}: {path.name} is missing.", status=404, param="lora_path"
            )
    try:
        config = json.loads(config_path.read_text())
        if not isinstance(config, dict):
            raise ValueError(f"{CONFIG_NAME} holds no object")
        with safe_open(weights_path, framework="numpy") as weights:
            shapes = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    # safetensors raises an exception type of its own for a torn file.
    except Exception as error:
        raise ApiError(f"The adapter at {directory} cannot be read: {error}", param="lora_path") from error
    _check_config(config, directory)
    return config, shapes


def rank_of(part: str, config: dict[str, Any]) -> int:
    """The rank that the configuration names for a part of the base."""
    return by_pattern(config.get("rank_pattern"), part, config["r"])


def by_pattern(values: dict[str, Any] | None, part: str, other: Any) -> Any:
    """The value of the first pattern that the end of the part's name matches, as PEFT reads them."""
    for pattern, value in (values or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", part):
            return value
    return other


def part_and_side(name: str) -> tuple[str, str]:
    """`("model.layers.0.mlp.up_proj", "A")` for a tensor's name; the side is empty for what is no LoRA weight."""
    part, _, side = name.removeprefix("base_model.model.").partition(".lora_")
    return part, {"A.weight": "A", "B.weight": "B"}.get(side, "")


def _check_config(config: dict[str, Any], directory: Path) -> None:
    wrong = {name: bool(config.get(name)) for name in MORE_THAN_LORA} | {
        "peft_type": config.get("peft_type") != "LORA",
        "bias": config.get("bias", "none") != "none",
        "init_lora_weights": config.get("init_lora_weights") not in PLAIN_BEGINNINGS,
        "rank_pattern": not _are_numbers(config.get("rank_pattern"), int),
        "alpha_pattern": not _are_numbers(config.get("alpha_pattern"), int | float),
        "lora_alpha": not isinstance(config.get("lora_alpha", 8), int | float),
        "r": not _is_rank(config.get("r")),
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ApiError(
                f"The adapter at {directory} has {name} = {config.get(name)!r}. Served are plain LoRA adapters "
                f"of rank 1 to {MAX_RANK}, without DoRA, trained biases or whole saved modules.",
                param="lora_path",
            )


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RANK


def _are_numbers(values: Any, kind: Any) -> bool:
    if values is None:
        return True
    if not isinstance(values, dict) or not all(isinstance(value, kind) for value in values.values()):
        return False
    if not all(PLAIN_PATTERN.fullmatch(pattern) for pattern in values):
        return False
    return kind is not int or all(map(_is_rank, values.values()))


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
