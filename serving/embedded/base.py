"""One base model in memory with its adapters. Only the worker thread comes here."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM

from rendering import Renderer
from serving.embedded.adapter_files import check_adapter, check_fits
from serving.protocol import ApiError

log = logging.getLogger(__name__)


@dataclass
class LoadedAdapter:
    """`key` is PEFT's name for it (which may hold no dot); `users` counts answers that are being written."""

    name: str
    path: Path
    key: str
    users: int = 0
    is_retired: bool = False


class LoadedBase:
    """A model, its renderer and its adapters; `run` computes one step for the base or for one adapter."""

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
        self.context = self.renderer.context or self.model.config.max_position_embeddings
        self.adapters: dict[str, LoadedAdapter] = {}
        self.users = 0
        self._keys = (f"a{number}" for number in count())
        self._peft: Any = None
        self._layers: list = []
        self._active: str | None = None
        self._shapes = _linear_shapes(self.model)

    @property
    def is_in_use(self) -> bool:
        return self.users > 0

    def add_adapter(self, name: str, path: Path) -> LoadedAdapter:
        """Loads the adapter directory at `path`; raises ApiError when it does not fit this base."""
        check_fits(check_adapter(path), self._shapes, self.name)
        from peft import PeftModel

        key = next(self._keys)
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(
                self.model, str(path), adapter_name=key, local_files_only=True
            )
        else:
            self._peft.load_adapter(str(path), adapter_name=key, local_files_only=True)
        self._peft.eval().requires_grad_(False)
        # Loading may add layers and leaves them switched on or off as PEFT likes, so all are set from scratch.
        self._note_layers()
        self._switch(key)
        self.adapters[name] = LoadedAdapter(name, path, key)
        return self.adapters[name]

    def forget_adapter(self, name: str) -> None:
        """The name is free at once; the weights go when the last answer that uses them is finished."""
        adapter = self.adapters.pop(name)
        adapter.is_retired = True
        self.drop_if_unused(adapter)

    def drop_if_unused(self, adapter: LoadedAdapter) -> None:
        if adapter.users or not adapter.is_retired:
            return
        if len(self._peft.peft_config) == 1:
            self.model = self._peft.unload()
            self._peft = self._active = None
            self._layers = []
            return
        # PEFT makes another adapter the active one of each layer it is deleted from.
        self._peft.delete_adapter(adapter.key)
        self._switch(next(iter(self._peft.peft_config)))

    def run(self, token_ids: list[int], cache: object | None, adapter: LoadedAdapter | None):
        """One forward pass over `token_ids` after what `cache` holds → (logits of the last position, cache)."""
        wanted = adapter.key if adapter else None
        if wanted != self._active:
            self._switch(wanted)
        with torch.inference_mode():
            ids = torch.tensor([token_ids], device=self.device)
            out = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1], out.past_key_values

    def _switch(self, key: str | None) -> None:
        """Sets every layer, for the adapter `key` or for the base as it came (None).

        PEFT's own `set_adapter` and `disable_adapter_layers` also walk over all weights for the sake of gradients,
        which takes as long as computing a token of a small model; here only the switches that `forward` reads are
        set. The comparison with PEFT's answers in the tests holds this to the pinned version.
        """
        for layer in self._layers:
            layer._disable_adapters = key is None
            if key is not None:
                layer._active_adapter = [key]
        self._active = key

    def _note_layers(self) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        self._layers = [module for module in self.model.modules() if isinstance(module, BaseTunerLayer)]


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
