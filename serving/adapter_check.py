"""Looks at an adapter before a server is asked to take it, so that a refusal says what is wrong and what to do.

No Django, no torch, nothing of the adapter is run. What is refused is what servers do not compute
(`adapter_config.py`), and what they compute in silence though it is wrong: an adapter of another base, of other shapes,
with values that are no numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.adapter_config import CONFIG, WEIGHTS, check_config, rank_of, read_config, refused, short
from serving.adapter_files import FLOATS, BrokenFile, Tensor, first_bad_value, read_tensors
from serving.base_layers import BaseLayers, layers_of

# What lies beside the weights: tokenizer, template, card, numbers. Everything else could be code.
HARMLESS = {".safetensors", ".json", ".jsonl", ".md", ".txt", ".jinja", ".model"}
PREFIX = "base_model.model."


@dataclass(frozen=True)
class AdapterFacts:
    """What a good adapter is: `rank` the largest in it, `tensors` how many, `size_bytes` of the weights."""

    rank: int
    tensors: int
    size_bytes: int
    dtypes: tuple[str, ...]


def check_adapter(
    directory: Path,
    *,
    most_rank: int,
    base_directory: Path | None = None,
    base_names: Collection[str] = (),
) -> AdapterFacts:
    """Raises AdapterRefused unless a server that takes ranks up to `most_rank` can serve what is in `directory`.

    With `base_directory` every tensor has to fit a weight of the model there. With `base_names` the adapter has to
    name one of them as its base.
    """
    try:
        _check_files(directory)
        config = read_config(directory / CONFIG)
        check_config(config, most_rank)
        _check_base(config, base_names)
        return _check_weights(directory / WEIGHTS, config, base_directory)
    except OSError as error:
        raise refused(f"The adapter's files cannot be read ({error}). Fetch them again.") from error


# --- files -------------------------------------------------------------------------------------------------


def _check_files(directory: Path) -> None:
    if not directory.is_dir():
        raise refused(f"There is no directory {directory} with the adapter in it. Fetch it again.", 404)
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory)).encode("utf-8", "replace").decode()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise refused(f"{name} in the adapter is no file but leads elsewhere. Put the file itself there.")
        if path.is_file() and path.suffix.lower() not in HARMLESS:
            raise refused(
                f"{name} in the adapter may hold code that runs when it is opened; only safetensors weights are "
                f"served. Save the adapter with safe_serialization=True, and leave {path.suffix or 'such'} files out."
            )
    for wanted in (CONFIG, WEIGHTS):
        if not (directory / wanted).is_file():
            raise refused(f"The adapter has no {wanted}. Save it with PEFT's save_pretrained.", 404)


def _check_base(config: dict[str, Any], base_names: Collection[str]) -> None:
    named = config.get("base_model_name_or_path")
    if base_names and not (isinstance(named, str) and named in base_names):
        raise refused(
            f"The adapter says that its base model is {short(named)}; this server has "
            f"{' or '.join(sorted(base_names))}. Deploy it on a server of its own base model."
        )


# --- adapter_model.safetensors -----------------------------------------------------------------------------


def _check_weights(path: Path, config: dict[str, Any], base_directory: Path | None) -> AdapterFacts:
    base = None if base_directory is None else layers_of(base_directory)
    try:
        tensors = read_tensors(path)
        if not tensors:
            raise BrokenFile("holds no tensors")
        for tensor in tensors:
            if tensor.dtype not in FLOATS:
                raise BrokenFile(
                    f"has its tensor {tensor.name[:120]!r} in {tensor.dtype[:20]!r}; known are {', '.join(FLOATS)}"
                )
        rank = _check_pairs(tensors, config)
        if base is not None and base_directory is not None:
            _check_fits(tensors, base, base_directory.name)
        if found := first_bad_value(path, tensors):
            raise BrokenFile(f"has a value that is no number in {found[0].name[:120]!r}, at {found[1]}")
    except BrokenFile as problem:
        raise refused(
            f"{WEIGHTS} {problem}. Take the adapter of another checkpoint, or train again."
        ) from problem
    return AdapterFacts(
        rank=rank,
        tensors=len(tensors),
        size_bytes=path.stat().st_size,
        dtypes=tuple(sorted({tensor.dtype for tensor in tensors})),
    )


def _check_pairs(tensors: list[Tensor], config: dict[str, Any]) -> int:
    """Every layer has an A of (rank, in) and a B of (out, rank), of the rank that the config gives it.

    Returns the largest.
    """
    sides: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for tensor in tensors:
        layer, side = _layer_and_side(tensor.name)
        sides[layer][side] = tensor
        if len(tensor.shape) != 2:
            raise BrokenFile(
                f"has its tensor {tensor.name[:120]!r} in the shape {list(tensor.shape)}; two sides are expected"
            )
    ranks = {}
    for layer, found in sides.items():
        if len(found) < 2:
            raise BrokenFile(f"has only one of the two halves of {layer[:120]!r}")
        ranks[layer] = rank_of(layer, config)
        inner = found["A"].shape[0], found["B"].shape[1]
        if inner != (ranks[layer], ranks[layer]):
            raise BrokenFile(
                f"has ranks {inner[0]} and {inner[1]} in the two halves of {layer[:120]!r}, where {CONFIG} speaks of "
                f"{ranks[layer]}"
            )
    return max(ranks.values())


def _layer_and_side(name: str) -> tuple[str, str]:
    for side in "AB":
        ending = f".lora_{side}.weight"
        if name.startswith(PREFIX) and name.endswith(ending):
            return name.removeprefix(PREFIX).removesuffix(ending), side
    raise BrokenFile(f"holds {name[:120]!r}, which is no part of a plain LoRA on linear layers")


def _check_fits(tensors: list[Tensor], base: BaseLayers, base_name: str) -> None:
    for tensor in tensors:
        layer, side = _layer_and_side(tensor.name)
        shapes = base.of(layer)
        if not shapes:
            raise BrokenFile(f"was made for another model: {base_name} has no layer {layer[:120]!r}")
        wanted = {shape[1] if side == "A" else shape[0] for shape in shapes}
        got = tensor.shape[1] if side == "A" else tensor.shape[0]
        if got not in wanted:
            raise BrokenFile(
                f"was made for another model: its {tensor.name[:120]!r} is {got} wide, where {base_name} has "
                f"{' or '.join(map(str, sorted(wanted)))}"
            )
