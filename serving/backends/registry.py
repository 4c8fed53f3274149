"""Every kind of backend by its name. Each is made with the address of a server: `BACKENDS["vllm"](url)`."""

from collections.abc import Callable

from serving.backends.base import Backend
from serving.backends.embedded import EmbeddedBackend

BACKENDS: dict[str, Callable[..., Backend]] = {"embedded": EmbeddedBackend}
