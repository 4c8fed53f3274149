"""Every kind of backend by its name."""

from serving.backends.embedded import EmbeddedBackend

BACKENDS = {"embedded": EmbeddedBackend}
