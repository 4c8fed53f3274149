"""What every backend promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from serving.protocol import ApiError, ChatRequest
from serving.shapes import Usage


class BackendUnavailable(ApiError):
    """Nobody listens where the backend should be; asking again later may help."""

    def __init__(self, message: str):
        super().__init__(message, status=503, kind="server_error", code="backend_unavailable")


class AnswerBroke(ApiError):
    """The backend went away in the middle of an answer."""

    def __init__(self, message: str):
        super().__init__(message, status=502, kind="server_error", code="answer_broke_off")


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A LoRA adapter under the name it is asked for, in a directory that never changes."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Target:
    """What shall answer: a base model, or an adapter on it, with its files on this machine.

    `model_id` is the name that the asker used; `lineage` tells where it comes from (kind → id).
    """

    model_id: str
    base_name: str
    base_path: Path
    adapter: AdapterFiles | None = None
    lineage: dict[str, str] = field(default_factory=dict)

    @property
    def loaded_name(self) -> str:
        return self.adapter.name if self.adapter else self.base_name


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; the last one says why it ended and how many tokens it took."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


class Backend(Protocol):
    """Every method raises `ApiError`: `BackendUnavailable` when nobody is there, else the backend's own words."""

    async def models(self) -> list[str]:
        """Names that are in memory now."""
        ...

    async def ensure_loaded(self, target: Target) -> None:
        """The target's base and adapter are in memory after this; costs little when they were."""
        ...

    def stream_chat(self, target: Target, request: ChatRequest) -> AsyncIterator[Delta]:
        """The answer as it is written, loading what is missing first. Closing the iterator ends the answer."""
        ...

    async def chat(self, target: Target, request: ChatRequest) -> Delta:
        """The whole answer at once."""
        ...
