"""What an adapter may be, by its `adapter_config.json`: the one list, for every server that is to take it.

It is what vLLM takes (`vllm/lora/peft_helper.py`, 0.32 and 0.33) and what the embedded process computes: B·A added to
linear layers, and nothing else. No Django, no torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from serving.backends.base import AdapterRefused

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LARGEST_CONFIG = 1024 * 1024
# These ways to begin leave the base as it is when the adapter is opened; PiSSA, OLoRA, CorDA and LoftQ change it.
PLAIN_INITS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga"}
# Each asks for something beyond adding B·A to a layer.
MORE_THAN_LORA = {
    "use_dora": "DoRA",
    "lora_bias": "a bias of its own",
    "layer_replication": "replicated layers",
    "alora_invocation_tokens": "activation by a token (aLoRA)",
    "use_bdlora": "block-diagonal matrices (BD-LoRA)",
    "use_qalora": "QALoRA",
    "megatron_config": "Megatron's layers",
    "corda_config": "CorDA",
    "trainable_token_indices": "trained words",
    "target_parameters": "parameters that are no layers",
    "arrow_config": "Arrow's routing between adapters",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
}
# Servers read patterns as regular expressions. Those of PEFT are names of layers; what repeats a group could keep a
# server busy for ever.
PLAIN_PATTERN = re.compile(r"[\w.^-]{1,200}")
REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
ADVICE = "Train it again without this, or serve it as a merged model."


def read_config(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > LARGEST_CONFIG:
        raise refused(f"{CONFIG} is {size} bytes long; {LARGEST_CONFIG} are the most that are read.")
    try:
        config = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise refused(
            f"{CONFIG} is no JSON ({str(error)[:120]}). Save the adapter with PEFT's save_pretrained."
        ) from error
    if not isinstance(config, dict):
        raise refused(f"{CONFIG} holds {short(config)} where an object is expected.")
    return config


def check_config(config: dict[str, Any], most_rank: int) -> None:
    """Raises AdapterRefused unless all that it asks for is adding B·A to linear layers, of ranks up to `most_rank`."""
    if config.get("peft_type") != "LORA":
        raise refused(f"The adapter has peft_type {short(config.get('peft_type'))}; only LORA is served.")
    for name, words in MORE_THAN_LORA.items():
        if config.get(name):
            raise refused(f"The adapter was trained with {words} ({name} {short(config[name])}). {ADVICE}")
    if config.get("bias", "none") != "none":
        raise refused(f"The adapter has bias {short(config['bias'])}; only 'none' is served. {ADVICE}")
    saved = config.get("modules_to_save")
    if saved:
        raise refused(f"The adapter brings whole layers (modules_to_save {short(saved)}). {ADVICE}")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool) and not (isinstance(start, str) and start.lower() in PLAIN_INITS):
        raise refused(
            f"The adapter began with init_lora_weights {short(start)}, which changes the base model too. "
            f"Convert it to a plain LoRA with PEFT's path_initial_model_for_weight_conversion."
        )
    _check_targets(config.get("target_modules"))
    _check_scaling(config)
    _check_ranks(config, most_rank)


def _check_ranks(config: dict[str, Any], most_rank: int) -> None:
    patterns = _patterns(config, "rank_pattern")
    ranks = {"r": config.get("r"), **{f"rank_pattern {short(key)}": rank for key, rank in patterns.items()}}
    for name, rank in ranks.items():
        if type(rank) is not int or rank < 1:
            raise refused(f"The adapter's {name} is {short(rank)}; a rank is a whole number from 1.")
        if rank > most_rank:
            raise refused(
                f"The adapter's {name} is {rank}; this server takes {most_rank} at most. Train with a smaller rank, "
                f"or put it on a server that takes larger ones."
            )


def _check_scaling(config: dict[str, Any]) -> None:
    for name, alpha in {"lora_alpha": config.get("lora_alpha"), **_patterns(config, "alpha_pattern")}.items():
        is_number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if not is_number or not -1e9 < alpha < 1e9:  # NaN fails this too
            raise refused(f"The adapter's {short(name)} is {short(alpha)}; a number is expected.")
    if not isinstance(config.get("use_rslora") or False, bool):
        raise refused(
            f"The adapter's use_rslora is {short(config['use_rslora'])}; true or false is expected."
        )


def _patterns(config: dict[str, Any], name: str) -> dict[str, Any]:
    patterns = config.get(name) or {}
    if not isinstance(patterns, dict):
        raise refused(f"The adapter's {name} is {short(patterns)}, no object.")
    for pattern in patterns:
        if not PLAIN_PATTERN.fullmatch(pattern):
            raise refused(f"The adapter's {name} has {short(pattern)}; names of layers are expected there.")
    return patterns


def _check_targets(targets: object) -> None:
    is_list = isinstance(targets, list) and targets and all(isinstance(one, str) and one for one in targets)
    is_pattern = isinstance(targets, str) and 0 < len(targets) <= 500 and not REPEATED_GROUP.search(targets)
    if not is_list and not is_pattern:
        raise refused(f"The adapter's target_modules are {short(targets)}; names of layers are expected.")


def by_pattern(values: dict[str, Any] | None, layer: str, other: Any) -> Any:
    """By the rule of PEFT and vLLM: a pattern holds for names that end with it at a dot; the first one wins."""
    for pattern, value in (values or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            return value
    return other


def rank_of(layer: str, config: dict[str, Any]) -> int:
    """The rank that a checked configuration names for a layer of the base."""
    return by_pattern(config.get("rank_pattern"), layer, config["r"])


def refused(message: str, status: int = 400) -> AdapterRefused:
    return AdapterRefused(message, status=status)


def short(value: object) -> str:
    try:
        shown = repr(value)
    except RecursionError:
        return "what nests too deep to be shown"
    return shown if len(shown) <= 80 else shown[:77] + "…"
