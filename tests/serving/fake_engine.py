"""The inside of the fake vLLM: slots, caches and a language model that is nothing but a hash.

It keeps to vLLM 0.32 where it matters here: which adapters are refused and with which words, who is pushed out when,
that unloading forgets a name but not the weights, and that on a processor the rows of the base are computed with the
adapter in the last slot when rows of an adapter are computed beside them.
"""

import hashlib
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from rendering import Renderer
from serving.adapter_files import BrokenFile, first_bad_value, read_tensors

PLAIN_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


class NotFound(Exception):
    """No adapter where one should be."""


@dataclass
class Model:
    """Says which token comes next, by a hash of `seed` and what stands before; `known` wins where it knows."""

    seed: bytes
    words: int
    stop: int
    is_broken: bool = False  # computes NaN
    known: dict[tuple[int, ...], tuple[int, float]] = field(default_factory=dict)

    def next(self, before: list[int]) -> tuple[int, float]:
        """The likeliest token and its log-probability."""
        if self.is_broken:
            return 0, math.nan
        if found := self.known.get(tuple(before)):
            return found
        drawn = self._draw(before)
        # Some time it has to end.
        if drawn % 12 == 0:
            return self.stop, -0.1
        return 300 + drawn % (self.words - 300), -0.05 - (drawn % 97) / 100

    def logprob(self, before: list[int], token: int) -> float:
        best, logprob = self.next(before)
        if token == best or self.is_broken:
            return logprob
        return math.log(1 - math.exp(logprob)) - 3 - self._draw([*before, token]) % 50 / 10

    def _draw(self, before: list[int]) -> int:
        # Only the last tokens count, so that an answer does not depend on how long the prompt is.
        told = self.seed + repr(before[-24:]).encode()
        return int.from_bytes(hashlib.sha256(told).digest()[:6], "big")


class FakeEngine:
    """`add` and `model_for` do what the engine's process does; callers are one thread."""

    def __init__(
        self,
        base: Path,
        *,
        max_loras: int = 3,
        max_lora_rank: int = 16,
        max_cpu_loras: int | None = None,
        mixes: bool = True,
    ):
        self.base_path = base
        self.renderer = Renderer.from_directory(base)
        self.config = json.loads((base / "config.json").read_text())
        self.max_lora_rank = max_lora_rank
        self.capacity = max_cpu_loras or max_loras
        self.mixes = mixes
        self.base = self._model(b"base")
        self.cached: OrderedDict[int, Model] = OrderedDict()  # registered with the engine, oldest use first
        self.active: OrderedDict[int, None] = OrderedDict()
        self.slots: list[int | None] = [None] * max_loras

    def add(self, number: int, name: str, path: str, *, inplace: bool = False) -> None:
        """Loads and activates; raises NotFound, or ValueError with vLLM's words."""
        if number not in self.cached or inplace:
            model = self._load(name, Path(path))
            self._remove(number)
            if len(self.cached) + 1 > self.capacity:
                self._remove(next(iter(self.cached)))
            self.cached[number] = model
        self.cached.move_to_end(number)
        self._activate(number)

    def model_for(self, number: int | None, *, beside: set[int]) -> Model:
        """What computes a row; `beside` are the adapters of other rows that are computed at the same time."""
        if number is not None:
            return self.cached[number]
        last = self.slots[-1]
        if self.mixes and beside and last is not None:
            return self.cached[last]
        return self.base

    # --- slots -----------------------------------------------------------------------------------------------

    def _activate(self, number: int) -> None:
        if number not in self.active:
            if len(self.active) >= len(self.slots):
                self._deactivate(next(iter(self.active)))
            self.slots[self.slots.index(None)] = number
            self.active[number] = None
        self.active.move_to_end(number)

    def _deactivate(self, number: int) -> None:
        self.slots[self.slots.index(number)] = None
        del self.active[number]

    def _remove(self, number: int) -> None:
        if number in self.active:
            self._deactivate(number)
        self.cached.pop(number, None)

    # --- loading ---------------------------------------------------------------------------------------------

    def _load(self, name: str, path: Path) -> Model:
        try:
            config = json.loads((path / "adapter_config.json").read_text())
        except FileNotFoundError as error:
            raise NotFound(f"Loading lora {name} failed: No adapter found for {path}") from error
        self._check(config)
        weights = path / "adapter_model.safetensors"
        if not weights.is_file():
            raise ValueError(f"{path} doesn't contain tensors")
        try:
            tensors = read_tensors(weights)
        except BrokenFile as error:
            raise ValueError(f"Error while deserializing header: {error}") from error
        for tensor in tensors:
            if ".lora_A." not in tensor.name and ".lora_B." not in tensor.name:
                raise ValueError(f"{tensor.name} is unsupported LoRA weight")
            inner = self.config["hidden_size"]
            # One that is narrower is copied into the corner of what is there, without a word.
            if ".q_proj.lora_A." in tensor.name and tensor.shape[1] > inner:
                raise ValueError(
                    f"The size of tensor a ({inner}) must match the size of tensor b ({tensor.shape[1]}) at "
                    f"non-singleton dimension 1"
                )
        model = self._model(hashlib.sha256(weights.read_bytes()).digest(), path)
        model.is_broken = first_bad_value(weights, tensors) is not None
        return model

    def _check(self, config: dict) -> None:
        """`PEFTHelper.validate_legal`, in its order and words."""
        missing = {"r", "lora_alpha", "target_modules"} - set(config)
        if missing:
            raise ValueError(f"Missing required configuration fields: {missing}")
        if config["r"] <= 0:
            raise ValueError(f"LoRA rank `r` must be a positive integer, got {config['r']}.")
        wrong = []
        others = [one for one in config.get("modules_to_save") or [] if one not in ("classifier", "score")]
        if others:
            wrong.append(
                "vLLM only supports modules_to_save being either None or "
                f'["classifier", "score"] for classification models. Unsupported modules_to_save: {others}'
            )
        if config.get("use_dora"):
            wrong.append("vLLM does not yet support DoRA.")
        if config.get("lora_bias"):
            wrong.append("vLLM does not support LoRA bias (lora_bias).")
        init = config.get("init_lora_weights", True)
        if isinstance(init, str) and init.lower() not in PLAIN_INITS:
            wrong.append(f"vLLM does not support init_lora_weights={init!r}.")
        if config.get("layer_replication"):
            wrong.append("vLLM does not support layer_replication.")
        rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
        if rank > self.max_lora_rank:
            wrong.append(f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}.")
        if config.get("bias", "none") != "none":
            wrong.append("Adapter bias is not supported.")
        if wrong:
            raise ValueError(" ".join(wrong))

    def _model(self, seed: bytes, adapter: Path | None = None) -> Model:
        model = Model(seed, self.config["vocab_size"], self.config["eos_token_id"])
        record = adapter / "parity.json" if adapter else None
        if record and record.is_file():
            for prompt in json.loads(record.read_text())["prompts"]:
                given = list(prompt["prompt_token_ids"])
                for token, logprob in zip(prompt["answer_token_ids"], prompt["logprobs"], strict=True):
                    model.known[tuple(given)] = (token, logprob)
                    given.append(token)
                if prompt["is_ended"]:
                    model.known[tuple(given)] = (model.stop, -0.01)
        return model
