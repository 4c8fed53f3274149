"""What the OpenAI-compatible surface keeps of its own."""

from .aliases import ModelAlias

__all__ = ["ModelAlias"]
