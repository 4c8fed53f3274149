"""Every kind of backend by its name. Each is made with the address of a server: `BACKENDS["vllm"](url)`.

All but the embedded one also take `api_key` and `guard` (`serving.guard`), which keeps a user's address out of
private networks; nodes that a superuser added go without.
"""

from collections.abc import Callable

from serving.backends.base import Backend
from serving.backends.embedded import EmbeddedBackend
from serving.backends.ollama import OllamaBackend
from serving.backends.openai_compatible import OpenAICompatibleBackend
from serving.backends.vllm import VllmBackend

BACKENDS: dict[str, Callable[..., Backend]] = {
    "embedded": EmbeddedBackend,
    "vllm": VllmBackend,
    "openai_compatible": OpenAICompatibleBackend,
    "ollama": OllamaBackend,
}
