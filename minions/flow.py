"""What goes into a pipeline and what comes out of it: a question, what may be asked of others, events, and refusals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from apex.common.refusals import ApiError
from minions.asking import Switched
from minions.recipes import Link, Recipe
from minions.thinking import Thought, ThoughtsDropped
from minions.tracing import Stage
from providers.base import Call, Price, Provider
from serving.shapes import Usage


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the conversation up to it. What a program set wins over the recipe, up to the recipe's limits."""

    messages: Sequence[dict[str, Any]]
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: Any = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_format: dict[str, Any] | None = None

    def most_tokens(self, recipe: Recipe) -> int:
        return min(recipe.answer_tokens, self.max_tokens or recipe.answer_tokens)

    def how_warm(self, recipe: Recipe) -> float:
        return recipe.temperature if self.temperature is None else self.temperature

    def call(self, recipe: Recipe, messages: list[dict[str, Any]]) -> Call:
        """To an outside model, whose name comes later."""
        return Call(
            model="", messages=messages, tools=list(self.tools) or None, tool_choice=self.tool_choice,
            max_tokens=self.most_tokens(recipe), temperature=self.how_warm(recipe), top_p=self.top_p, stop=self.stop,
            seed=self.seed, response_format=self.response_format,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StageBegan:
    kind: str


@dataclass(frozen=True, slots=True)
class StageEnded:
    stage: Stage


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the answer, or calls of tools; the last one has a reason. `thought` is no part of the answer: what the
    model that answers has thought, not before its first word. As it is thought it comes as `Thought`."""

    text: str = ""
    tool_calls: tuple[Any, ...] = ()
    finish_reason: str | None = None
    thought: str = ""


Event = StageBegan | StageEnded | Switched | Said | Thought | ThoughtsDropped


class NoAnswer(ApiError):
    """No word has come, and none will; the trace says why."""

    def __init__(self, message: str):
        super().__init__(message, status=502, kind="server_error", code="no_answer")


class AnswerBroke(ApiError):
    """The answer ended in the middle. What came of it stands."""

    def __init__(self, message: str):
        super().__init__(message, status=502, kind="server_error", code="answer_broke_off")


@dataclass(frozen=True, slots=True)
class LocalPiece:
    """Words of one of our own models, as they come; the last one counts them."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Passages as data for a prompt (`fenced`), and as the page shows them; what rerankers did with them."""

    fenced: str
    passages: list[dict[str, Any]] = field(default_factory=list)
    reranked: list[dict[str, Any]] = field(default_factory=list)


class Means(Protocol):
    """What a pipeline asks of the rest of the house. Everything raises ApiError."""

    prices: dict[str, Price]
    whose: str

    def local(
        self,
        model: str,
        messages: list[dict[str, Any]],
        *,
        max_tokens: int,
        temperature: float,
        stop: tuple[str, ...] = (),
    ) -> AsyncGenerator[LocalPiece, None]:
        """One of the owner's own models; closing it ends the answer."""
        ...

    async def look_up(self, question: str, stage: Stage) -> Found:
        """What that takes goes into the stage, also where nothing is found."""
        ...

    async def open_provider(self, link: Link) -> Provider: ...

    def note_local(self, stage: Stage) -> None:
        """Puts what the stage's seconds on our own servers cost into it."""
        ...
