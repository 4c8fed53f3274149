"""One base model in memory with its adapters. Only the worker thread comes here."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from rendering import Renderer
from serving.embedded.batch import Batch
from serving.embedded.fitting import check_adapter, check_fits
from serving.embedded.lora import Adapters, Weights, read_weights
from serving.protocol import ApiError

log = logging.getLogger(__name__)

# What the keys and values of all answers may take, and never more than half of what is free after loading.
CACHE_MEGABYTES = int(os.environ.get("APEX_EMBEDDED_CACHE_MB", "2048"))
# What an architecture must take, so that prompts of different lengths can be in one pass.
NEEDED_TO_SHARE = ("attention_mask", "position_ids", "past_key_values")


@dataclass
class LoadedAdapter:
    """`key` is its name among the weights; `users` counts answers that are being written."""

    name: str
    path: Path
    key: str
    size: int
    users: int = 0
    is_retired: bool = False


class LoadedBase:
    """A model, its renderer, its adapters, and the batch of the answers that it writes.

    `is_shared`: answers can be in one pass. Others, whose layers keep more than keys and values, take one each.
    `room` is the number of tokens whose keys and values fit into the memory that answers may take.
    """

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path
        check_base(path)
        self.renderer = Renderer.from_directory(path)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model: Any = AutoModelForCausalLM.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=_dtype(path, self.device),
        )
        self.model = model.to(self.device).requires_grad_(False).eval()
        self.adapters: dict[str, LoadedAdapter] = {}
        self.users = 0
        self.vocabulary = self.model.get_input_embeddings().weight.shape[0]
        self._takes = inspect.signature(type(self.model).forward).parameters
        self._keys = (f"a{number}" for number in count())
        self._shapes = _linear_shapes(self.model)
        self._loras = Adapters(self.model, self.device)
        self.is_shared = all(name in self._takes for name in NEEDED_TO_SHARE) and _keeps_all(
            self.model.config
        )
        self.room = max(1, _cache_bytes(self.device) // self._token_bytes())
        self.context = min(self.renderer.context or self.model.config.max_position_embeddings, self.room)
        self.batch = Batch(self)

    @property
    def is_in_use(self) -> bool:
        return self.users > 0

    def fits(self, path: Path) -> bool:
        """Whether the adapter directory is one of this base, by its shapes; raises ApiError when it is of no base."""
        config, shapes = check_adapter(path)
        try:
            check_fits(config, shapes, self._shapes, self.name)
        except ApiError:
            return False
        return True

    def add_adapter(self, name: str, path: Path) -> LoadedAdapter:
        """Loads the adapter directory at `path`; raises ApiError when it does not fit this base."""
        config, shapes = check_adapter(path)
        check_fits(config, shapes, self._shapes, self.name)
        weights = read_weights(path, config, self.device)
        adapter = LoadedAdapter(name, path, next(self._keys), _size(weights))
        self._loras.put_on(adapter.key, weights)
        self.adapters[name] = adapter
        return adapter

    def forget_adapter(self, name: str) -> None:
        """The name is free at once; the weights go when the last answer that uses them is finished."""
        adapter = self.adapters.pop(name)
        adapter.is_retired = True
        self.drop_if_unused(adapter)

    def drop_if_unused(self, adapter: LoadedAdapter) -> None:
        if adapter.is_retired and not adapter.users:
            self._loras.take_off(adapter.key)

    def start_anew(self) -> None:
        """Forgets all that is being written."""
        self.batch = Batch(self)

    def new_cache(self) -> DynamicCache:
        """An empty one. A shared one keeps all tokens in each layer; the mask hides what a window leaves out."""
        return DynamicCache() if self.is_shared else DynamicCache(config=self.model.config)

    def run(
        self,
        ids: torch.Tensor,
        cache: Any,
        keys: Sequence[str | None],
        *,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        is_whole: bool = False,
    ) -> torch.Tensor:
        """One pass over `ids` (rows, tokens) after what `cache` holds, each row by the adapter of its key.

        `mask`: (rows, all tokens), true where there is one; none where there is one everywhere. Logits (rows, tokens,
        vocabulary): of all tokens with `is_whole`, else of the last.
        """
        self._loras.choose(keys, [adapter.key for adapter in self.adapters.values() if adapter.users])
        more: dict[str, Any] = {} if mask is None else {"attention_mask": mask, "position_ids": positions}
        if "logits_to_keep" in self._takes and not is_whole:
            more["logits_to_keep"] = 1
        return self.model(input_ids=ids, past_key_values=cache, use_cache=True, **more).logits

    def _token_bytes(self) -> int:
        """What the keys and values of one token take, found by reading one."""
        cache = self.new_cache()
        with torch.inference_mode():
            self.run(torch.zeros((1, 1), dtype=torch.long, device=self.device), cache, [None])
        kept = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
        return max(1, sum(states.nbytes for states in kept if states is not None))


def _cache_bytes(device: str) -> int:
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    return min(CACHE_MEGABYTES * 1024 * 1024, free // 2)


def _keeps_all(config: Any) -> bool:
    """Whether keys and values are all that a layer keeps of the tokens before, and each layer its own."""
    if getattr(config.get_text_config(decoder=True), "num_kv_shared_layers", 0):
        return False
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    return kinds <= {DynamicLayer, DynamicSlidingWindowLayer}


def _size(weights: Weights) -> int:
    return sum(a.nbytes + b.nbytes for a, b in weights.values())


def check_base(path: Path) -> None:
    """A local directory with safetensors weights and no code of its own; raises ApiError otherwise."""
    config_path = path / "config.json"
    if not config_path.is_file():
        raise ApiError(f"No base model found at {path}: config.json is missing.", status=404, param="path")
    if not any(path.glob("*.safetensors")):
        raise ApiError(
            f"The base model at {path} has no safetensors weights, the only kind read.", param="path"
        )
    try:
        config = json.loads(config_path.read_text())
    except ValueError as error:
        raise ApiError(f"{config_path} cannot be read: {error}", param="path") from error
    if "auto_map" in config:
        raise ApiError(
            f"The base model at {path} needs code of its own (auto_map); that is not run.", param="path"
        )


def weight_bytes(path: Path) -> int:
    """Size of the weights on disk."""
    return sum(file.stat().st_size for file in path.glob("*.safetensors"))


def _dtype(path: Path, device: str) -> torch.dtype | str:
    """On a GPU as stored; on a processor float32, which is faster there, if it takes less than half of the memory."""
    if device == "cuda":
        return "auto"
    stored = json.loads((path / "config.json").read_text())
    is_half = (stored.get("dtype") or stored.get("torch_dtype")) in ("bfloat16", "float16")
    needed = weight_bytes(path) * (2 if is_half else 1)
    return torch.float32 if needed < psutil.virtual_memory().available / 2 else "auto"


def _linear_shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """(out, in) of each part that LoRA can sit on."""
    shapes = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() == 2:
            # GPT-2's Conv1D keeps its weight the other way round.
            is_turned = type(module).__name__ == "Conv1D"
            shapes[name] = tuple(reversed(weight.shape)) if is_turned else tuple(weight.shape)
    return shapes
