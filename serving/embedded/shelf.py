"""What is in memory: at most two base models, and adapters up to a number and a size; the longest unused goes first."""

from __future__ import annotations

import gc
import logging
import time
from pathlib import Path

import psutil
import torch

from serving.embedded.base import LoadedAdapter, LoadedBase, check_base, weight_bytes
from serving.embedded.generation import Answer
from serving.embedded.parts import PLAIN, Part
from serving.protocol import ApiError, ChatRequest, CompletionRequest, model_not_found

log = logging.getLogger(__name__)

MAX_BASES = 2
MAX_ADAPTERS = 128
MAX_ADAPTER_BYTES = 1024 * 1024 * 1024
# Beside the weights: the caches of answers and what torch needs for a moment while it loads.
SPARE_BYTES = 256 * 1024 * 1024


class Shelf:
    """Base models and adapters by name. Only the worker thread changes it."""

    def __init__(self) -> None:
        # The one used last stands at the end of each dict.
        self.bases: dict[str, LoadedBase] = {}
        self._adapter_bases: dict[str, LoadedBase] = {}

    def load_base(self, name: str, path: Path) -> None:
        """Does nothing when it is there already; makes room when it is not."""
        here = self.bases.get(name)
        if here and here.path == path:
            self._touch_base(here)
            return
        if name in self._adapter_bases:
            raise ApiError(f"An adapter has the name {name!r} already.", param="name")
        check_base(path)
        if here:
            self._drop_base(here)
            here = None  # else its memory stays taken while the other one loads
        self._make_room(weight_bytes(path))
        started = time.monotonic()
        try:
            self.bases[name] = LoadedBase(name, path)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ApiError(f"The base model at {path} cannot be loaded: {error}", param="path") from error
        log.info("loaded base model %s in %.1f s", name, time.monotonic() - started)

    def load_adapter(
        self, name: str, path: Path, base_name: str | None, *, is_in_place: bool = False
    ) -> None:
        """Does nothing when it is there already; the base must be loaded.

        Without `base_name` it is the one base that the adapter fits. One of that name from another path is refused, or
        makes way with `is_in_place`.
        """
        base = self._base_of(path) if base_name is None else self.bases.get(base_name)
        if base is None:
            raise model_not_found(base_name or "")
        if name in self.bases:
            raise ApiError(f"A base model has the name {name!r} already.", param="lora_name")
        here = self._adapter_bases.get(name)
        if here is base and base.adapters[name].path == path:
            self._touch(name, base)
            return
        if here and is_in_place:
            self.unload_adapter(name)
        elif here:
            raise ApiError(
                f"The lora adapter '{name}' has already been loaded from {here.adapters[name].path}; unload it first.",
                param="lora_name",
            )
        started = time.monotonic()
        try:
            base.add_adapter(name, path)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ApiError(f"The adapter at {path} cannot be loaded: {error}", param="lora_path") from error
        self._touch(name, base)
        self._drop_adapters_above(MAX_ADAPTERS, MAX_ADAPTER_BYTES)
        log.info("loaded adapter %s on %s in %.3f s", name, base.name, time.monotonic() - started)

    def unload_adapter(self, name: str) -> None:
        base = self._adapter_bases.pop(name, None)
        if base is None:
            raise model_not_found(name)
        base.forget_adapter(name)
        log.info("unloaded adapter %s", name)

    def open_answer(self, request: ChatRequest | CompletionRequest, part: Part = PLAIN) -> Answer:
        """Starts an answer of a base or an adapter by its name; nothing is computed yet."""
        base, adapter = self._find(request.model)
        answer = Answer(base, adapter, request, part)
        self._touch(request.model, base) if adapter else self._touch_base(base)
        return answer

    def cards(self) -> list[dict]:
        """For `GET /v1/models`: name, path, name of the base (None for a base) and context in tokens."""
        bases = list(self.bases.values())
        return [
            {"id": base.name, "root": str(base.path), "parent": None, "max_model_len": base.context}
            for base in bases
        ] + [
            {
                "id": adapter.name,
                "root": str(adapter.path),
                "parent": base.name,
                "max_model_len": base.context,
            }
            for base in bases
            for adapter in list(base.adapters.values())
        ]

    def base_of(self, name: str) -> LoadedBase:
        """The base of that name, or of the adapter of that name; raises ApiError."""
        return self._find(name)[0]

    def _base_of(self, path: Path) -> LoadedBase:
        fitting = [base for base in self.bases.values() if base.fits(path)]
        if len(fitting) == 1:
            return fitting[0]
        known = ", ".join(base.name for base in fitting or self.bases.values()) or "none"
        fault = "fits several" if fitting else "fits none"
        raise ApiError(
            f"The adapter at {path} {fault} of the base models that are loaded ({known}). Name its base in "
            "`base_model`, and load that one first.",
            param="base_model", code="adapter_does_not_fit",
        )  # fmt: skip

    def _find(self, name: str) -> tuple[LoadedBase, LoadedAdapter | None]:
        if name in self.bases:
            return self.bases[name], None
        if name in self._adapter_bases:
            base = self._adapter_bases[name]
            return base, base.adapters[name]
        raise model_not_found(name)

    def _touch_base(self, base: LoadedBase) -> None:
        self.bases[base.name] = self.bases.pop(base.name)

    def _touch(self, name: str, base: LoadedBase) -> None:
        self._adapter_bases.pop(name, None)
        self._adapter_bases[name] = base
        self._touch_base(base)

    def _drop_adapters_above(self, most: int, most_bytes: int) -> None:
        newest = next(reversed(self._adapter_bases), None)
        size = sum(base.adapters[name].size for name, base in self._adapter_bases.items())
        for name, base in list(self._adapter_bases.items()):
            if len(self._adapter_bases) <= most and size <= most_bytes:
                return
            if name != newest and not base.adapters[name].users:
                size -= base.adapters[name].size
                self.unload_adapter(name)

    def _drop_base(self, base: LoadedBase) -> None:
        if base.is_in_use:
            raise ApiError(f"The base model {base.name!r} is answering right now; try again soon.", status=503,
                           kind="server_error", code="busy")  # fmt: skip
        for name in list(base.adapters):
            del self._adapter_bases[name]
        del self.bases[base.name]
        log.info("dropped base model %s", base.name)

    def _make_room(self, size: int) -> None:
        """Drops bases that nobody uses until the number and the memory fit; raises ApiError when they cannot."""
        while len(self.bases) >= MAX_BASES or _free_bytes() < size + SPARE_BYTES:
            idle = next((base for base in self.bases.values() if not base.is_in_use), None)
            if idle is None:
                break
            self._drop_base(idle)
            del idle
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        free = _free_bytes()
        if free < size + SPARE_BYTES:
            raise ApiError(
                f"The model needs about {_megabytes(size + SPARE_BYTES)} MB of memory; {_megabytes(free)} MB are "
                "free. Wait until a training is done, or choose a smaller model.",
                status=503, kind="server_error", code="out_of_memory",
            )  # fmt: skip
        if len(self.bases) >= MAX_BASES:
            raise ApiError(f"{MAX_BASES} base models are answering right now; try again soon.", status=503,
                           kind="server_error", code="busy")  # fmt: skip


def _free_bytes() -> int:
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available


def _megabytes(size: int) -> int:
    return round(size / 1e6)
