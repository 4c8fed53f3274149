"""What the stages of one answer have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minions.flow import Means, NoAnswer, Question
from minions.recipes import Recipe
from minions.tracing import Trace


@dataclass(frozen=True, slots=True)
class Work:
    """One answer in the making: how, to what, by what means, and where it is written down. `turns` are those of the
    conversation that fit the recipe's tokens."""

    recipe: Recipe
    question: Question
    means: Means
    trace: Trace
    turns: list[dict[str, Any]]

    def no_answer(self, message: str) -> NoAnswer:
        self.trace.problem = message
        return NoAnswer(message)
