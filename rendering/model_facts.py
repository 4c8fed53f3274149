"""Facts about a base model from its files' headers: nothing of it is loaded or run."""

import json
import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from rendering.errors import BadModel

INDEX = "model.safetensors.index.json"
LARGEST_HEADER = 100 * 1024**2


@dataclass(frozen=True)
class BaseModelFacts:
    """Sizes of a model. `weight_bytes` is what the files take, `context` in tokens (None if unnamed).

    `attention_width` is heads × head size, `key_value_width` the same for keys and values, which several heads may
    share (GQA); 0 in either stands for the hidden size.
    """

    architecture: str
    model_type: str
    parameters: int
    weight_bytes: int
    context: int | None
    layers: int
    hidden_size: int
    intermediate_size: int
    vocabulary_size: int
    is_tied: bool
    attention_width: int = 0
    key_value_width: int = 0

    @property
    def query_size(self) -> int:
        return self.attention_width or self.hidden_size

    @property
    def key_value_size(self) -> int:
        return self.key_value_width or self.query_size

    @property
    def embedding_parameters(self) -> int:
        """Of the table of words, and of the head where that is another one."""
        return self.vocabulary_size * self.hidden_size * (1 if self.is_tied else 2)


def read_model_facts(directory: str | Path) -> BaseModelFacts:
    """Reads config.json and the safetensors headers.

    Raises BadModel when the directory is no causal language model in safetensors, is not
    complete, or wants to bring code of its own.
    """
    directory = Path(directory)
    config = _config(directory)
    parameters, size, names = 0, 0, set()
    for path in _weight_files(directory):
        for name, entry in read_header(path).items():
            parameters += math.prod(entry["shape"])
            names.add(name)
        size += path.stat().st_size
    is_tied = not any(name.endswith("lm_head.weight") for name in names)
    return _facts(config, parameters, size, is_tied)


def facts_of_config(config: dict) -> BaseModelFacts:
    """Facts by the numbers of a config.json alone, for a Llama-like model that is not on this machine.

    Parameters are counted as Llama and Qwen lay them out, without biases (under 0.01 % of them); the weights as
    2 bytes each.
    """
    found = _facts(config, 0, 0, bool(config.get("tie_word_embeddings")))
    attention = 2 * found.hidden_size * (found.query_size + found.key_value_size)
    gated = 3 * found.hidden_size * found.intermediate_size
    norms = (2 * found.layers + 1) * found.hidden_size
    parameters = found.embedding_parameters + found.layers * (attention + gated) + norms
    return replace(found, parameters=parameters, weight_bytes=2 * parameters)


def _facts(config: dict, parameters: int, weight_bytes: int, is_tied: bool) -> BaseModelFacts:
    inner = config.get("text_config")
    text: dict = inner if isinstance(inner, dict) else config
    hidden = _whole(text, "hidden_size", "n_embd", "d_model")
    heads = _whole(text, "num_attention_heads", "n_head")
    head_size = _whole(text, "head_dim") or (hidden // heads if heads else 0)
    return BaseModelFacts(
        architecture=config["architectures"][0],
        model_type=str(config.get("model_type", "")),
        parameters=parameters,
        weight_bytes=weight_bytes,
        context=_whole(text, "max_position_embeddings", "n_positions") or None,
        layers=_whole(text, "num_hidden_layers", "n_layer"),
        hidden_size=hidden,
        intermediate_size=_whole(text, "intermediate_size", "n_inner") or 4 * hidden,
        vocabulary_size=_whole(text, "vocab_size"),
        is_tied=is_tied,
        attention_width=heads * head_size,
        key_value_width=(_whole(text, "num_key_value_heads") or heads) * head_size,
    )


def read_header(path: Path) -> dict[str, dict]:
    """Tensor name → {"dtype", "shape", "data_offsets"} of a safetensors file; raises BadModel if broken."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(f"{path.name} is not a readable safetensors file: {error}") from error
    if path.stat().st_size != 8 + length + end:
        raise _bad(
            f"{path.name} is {path.stat().st_size} bytes long; its header speaks of {8 + length + end}."
        )
    return header


def _config(directory: Path) -> dict:
    if not directory.is_dir():
        raise _bad(f"The base model's directory {directory} does not exist.")
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(f"The base model's config.json cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise _bad("The base model's config.json does not hold an object.")
    if "auto_map" in config:
        raise _bad(
            "This base model wants to bring code of its own (auto_map in config.json), which is never run."
        )
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        architectures = [None]
    if not str(architectures[0]).endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        raise _bad(f"This base model is {architectures[0]}, not a causal language model.")
    return config


def _weight_files(directory: Path) -> list[Path]:
    index = directory / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise _bad(f"{INDEX} cannot be read: {error}") from error
    else:
        names = ["model.safetensors"]
    missing = [name for name in names if Path(name).name != name or not (directory / name).is_file()]
    if missing:
        others = sorted(
            path.name for path in directory.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".gguf")
        )
        found = f"; it has {', '.join(others[:3])}" if others else ""
        raise _bad(f"This base model has no {missing[0]}{found}.")
    return [directory / name for name in names]


def _whole(config: dict, *names: str) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return config[name]
    return 0


def _bad(message: str) -> BadModel:
    return BadModel(message)
