"""Looks at an adapter before a server is asked to take it, so that a refusal says what is wrong and what to do.

No Django, no torch, nothing of the adapter is run. What is refused is what vLLM does not compute
(`vllm/lora/peft_helper.py`, 0.32 and 0.33), and what it computes in silence though it is wrong: an adapter of
another base, of other shapes, with values that are no numbers.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.adapter_files import FLOATS, BrokenFile, Tensor, first_bad_value, read_tensors
from serving.backends.base import AdapterRefused
from serving.base_layers import BaseLayers, layers_of

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LARGEST_CONFIG = 1024 * 1024
# What lies beside the weights: tokenizer, template, card, numbers. Everything else could be code.
HARMLESS = {".safetensors", ".json", ".jsonl", ".md", ".txt", ".jinja", ".model"}
# These ways to begin leave the base as it is; PiSSA, OLoRA, CorDA, LoftQ and others change it.
PLAIN_INITS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga"}
PREFIX = "base_model.model."
# Servers read patterns as regular expressions. Those of PEFT are names of layers; what repeats a group could keep a
# server busy for ever.
PLAIN_PATTERN = re.compile(r"[\w.^-]{1,200}")
REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
ADVICE = "Train it again without this, or serve it as a merged model."


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
        config = _read_config(directory / CONFIG)
        _check_config(config, most_rank)
        _check_base(config, base_names)
        return _check_weights(directory / WEIGHTS, config, base_directory)
    except OSError as error:
        raise _refused(f"The adapter's files cannot be read ({error}). Fetch them again.") from error


# --- files -------------------------------------------------------------------------------------------------


def _check_files(directory: Path) -> None:
    if not directory.is_dir():
        raise _refused(f"There is no directory {directory} with the adapter in it. Fetch it again.", 404)
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory)).encode("utf-8", "replace").decode()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise _refused(
                f"{name} in the adapter is no file but leads elsewhere. Put the file itself there."
            )
        if path.is_file() and path.suffix.lower() not in HARMLESS:
            raise _refused(
                f"{name} in the adapter may hold code that runs when it is opened; only safetensors weights are "
                f"served. Save the adapter with safe_serialization=True, and leave {path.suffix or 'such'} files out."
            )
    for wanted in (CONFIG, WEIGHTS):
        if not (directory / wanted).is_file():
            raise _refused(f"The adapter has no {wanted}. Save it with PEFT's save_pretrained.", 404)


def _read_config(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > LARGEST_CONFIG:
        raise _refused(f"{CONFIG} is {size} bytes long; {LARGEST_CONFIG} are the most that are read.")
    try:
        config = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _refused(
            f"{CONFIG} is no JSON ({str(error)[:120]}). Save the adapter with PEFT's save_pretrained."
        ) from error
    if not isinstance(config, dict):
        raise _refused(f"{CONFIG} holds {_short(config)} where an object is expected.")
    return config


# --- adapter_config.json -----------------------------------------------------------------------------------


def _check_config(config: dict[str, Any], most_rank: int) -> None:
    if config.get("peft_type") != "LORA":
        raise _refused(f"The adapter has peft_type {_short(config.get('peft_type'))}; only LORA is served.")
    for name, words in {
        "use_dora": "DoRA",
        "lora_bias": "a bias of its own",
        "layer_replication": "replicated layers",
        "alora_invocation_tokens": "activation by a token (aLoRA)",
        "use_bdlora": "block-diagonal matrices (BD-LoRA)",
        "use_qalora": "QALoRA",
        "megatron_config": "Megatron's layers",
        "corda_config": "CorDA",
        "trainable_token_indices": "trained words",
    }.items():
        if config.get(name):
            raise _refused(f"The adapter was trained with {words} ({name} {_short(config[name])}). {ADVICE}")
    if config.get("bias", "none") != "none":
        raise _refused(f"The adapter has bias {_short(config['bias'])}; only 'none' is served. {ADVICE}")
    saved = config.get("modules_to_save")
    if saved:
        raise _refused(f"The adapter brings whole layers (modules_to_save {_short(saved)}). {ADVICE}")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool) and not (isinstance(start, str) and start.lower() in PLAIN_INITS):
        raise _refused(
            f"The adapter began with init_lora_weights {_short(start)}, which changes the base model too. "
            f"Convert it to a plain LoRA with PEFT's path_initial_model_for_weight_conversion."
        )
    _check_targets(config.get("target_modules"))
    _check_scaling(config)
    _check_ranks(config, most_rank)


def _check_ranks(config: dict[str, Any], most_rank: int) -> None:
    patterns = _patterns(config, "rank_pattern")
    ranks = {"r": config.get("r"), **{f"rank_pattern {_short(key)}": rank for key, rank in patterns.items()}}
    for name, rank in ranks.items():
        if type(rank) is not int or rank < 1:
            raise _refused(f"The adapter's {name} is {_short(rank)}; a rank is a whole number from 1.")
        if rank > most_rank:
            raise _refused(
                f"The adapter's {name} is {rank}; this server takes {most_rank} at most. Train with a smaller rank, "
                f"or start the server with a larger --max-lora-rank."
            )


def _check_scaling(config: dict[str, Any]) -> None:
    for name, alpha in {"lora_alpha": config.get("lora_alpha"), **_patterns(config, "alpha_pattern")}.items():
        is_number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if not is_number or not -1e9 < alpha < 1e9:  # NaN fails this too
            raise _refused(f"The adapter's {_short(name)} is {_short(alpha)}; a number is expected.")
    if not isinstance(config.get("use_rslora") or False, bool):
        raise _refused(
            f"The adapter's use_rslora is {_short(config['use_rslora'])}; true or false is expected."
        )


def _patterns(config: dict[str, Any], name: str) -> dict[str, Any]:
    patterns = config.get(name) or {}
    if not isinstance(patterns, dict):
        raise _refused(f"The adapter's {name} is {_short(patterns)}, no object.")
    for pattern in patterns:
        if not PLAIN_PATTERN.fullmatch(pattern):
            raise _refused(f"The adapter's {name} has {_short(pattern)}; names of layers are expected there.")
    return patterns


def _check_targets(targets: object) -> None:
    is_list = isinstance(targets, list) and targets and all(isinstance(one, str) and one for one in targets)
    is_pattern = isinstance(targets, str) and 0 < len(targets) <= 500 and not REPEATED_GROUP.search(targets)
    if not is_list and not is_pattern:
        raise _refused(f"The adapter's target_modules are {_short(targets)}; names of layers are expected.")


def _check_base(config: dict[str, Any], base_names: Collection[str]) -> None:
    named = config.get("base_model_name_or_path")
    if base_names and not (isinstance(named, str) and named in base_names):
        raise _refused(
            f"The adapter says that its base model is {_short(named)}; this server has "
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
        raise _refused(
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
        ranks[layer] = _rank_of(layer, config)
        inner = found["A"].shape[0], found["B"].shape[1]
        if inner != (ranks[layer], ranks[layer]):
            raise BrokenFile(
                f"has ranks {inner[0]} and {inner[1]} in the two halves of {layer[:120]!r}, where {CONFIG} speaks of "
                f"{ranks[layer]}"
            )
    return max(ranks.values())


def _rank_of(layer: str, config: dict[str, Any]) -> int:
    """By the rule of PEFT and vLLM: a pattern holds for names that end with it at a dot; the first one wins."""
    for pattern, rank in (config.get("rank_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            return rank
    return config["r"]


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


def _refused(message: str, status: int = 400) -> AdapterRefused:
    return AdapterRefused(message, status=status)


def _short(value: object) -> str:
    try:
        shown = repr(value)
    except RecursionError:
        return "what nests too deep to be shown"
    return shown if len(shown) <= 80 else shown[:77] + "…"
