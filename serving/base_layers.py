"""The layers of a base model by the headers of its files, to see what an adapter can sit on. No Django, no torch."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from serving.adapter_files import read_tensors
from serving.protocol import ApiError

# From here on a layer is called the same in the files and in memory, whatever the models around it are called.
TAIL = re.compile(r"(?:^|\.)((?:layers|h|blocks|block)\.\d+\..+)$")


@dataclass(frozen=True)
class BaseLayers:
    """Shapes (out, in) of a base model's layers: by their name, and by what of it stays the same in memory."""

    by_name: dict[str, tuple[int, ...]]
    by_tail: dict[str, set[tuple[int, ...]]]

    def of(self, layer: str) -> set[tuple[int, ...]]:
        if layer in self.by_name:
            return {self.by_name[layer]}
        tail = TAIL.search(layer)
        return self.by_tail.get(tail[1], set()) if tail else set()


def layers_of(directory: Path) -> BaseLayers | None:
    """None where the base's own weights are packed, so that their shapes say nothing."""
    try:
        changed = (directory / "config.json").stat().st_mtime_ns
        return read_layers(directory, changed)
    except (OSError, ValueError, AttributeError) as error:
        raise ApiError(
            f"The base model in {directory} cannot be read ({error}). Check it again under base models.",
            status=500, kind="server_error", code="base_model_unreadable",
        ) from error  # fmt: skip


@lru_cache(maxsize=32)
def read_layers(directory: Path, changed: int) -> BaseLayers | None:
    """The shapes in a base model's files; `changed` tells one state of the directory from the next."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if config.get("quantization_config"):
        return None
    by_name: dict[str, tuple[int, ...]] = {}
    by_tail: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for path in sorted(directory.glob("*.safetensors")):
        for tensor in read_tensors(path):
            if not tensor.name.endswith(".weight") or len(tensor.shape) != 2:
                continue
            layer = tensor.name.removesuffix(".weight")
            # GPT-2 keeps the weights of its layers the other way round.
            is_turned = config.get("model_type") == "gpt2" and TAIL.search(layer)
            by_name[layer] = tensor.shape[::-1] if is_turned else tensor.shape
            if tail := TAIL.search(layer):
                by_tail[tail[1]].add(by_name[layer])
    for words in ("model.embed_tokens", "model.language_model.embed_tokens"):
        if words in by_name:
            by_name.setdefault("lm_head", by_name[words])  # tied
    return BaseLayers(by_name, dict(by_tail))
