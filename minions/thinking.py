"""What models think while none of them has said a word: handed on as it comes, and taken back where it was in vain.

A thought is not the first word: the question may still go on to another model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what a model that is asked says to itself, as it comes; whether it will answer is not known yet."""

    model: str
    text: str


@dataclass(frozen=True, slots=True)
class ThoughtsDropped:
    """All that `model` thought so far is none of this answer's: it failed, is asked anew, or another one answers."""

    model: str


class Thinking:
    """Thoughts by the name of their model. Who is asked tells it what it thinks; `until_one_is_done` hands it on."""

    def __init__(self) -> None:
        self._so_far: dict[str, list[str]] = {}
        self._news: list[Thought | ThoughtsDropped] = []
        self._bell: asyncio.Future[None] | None = None

    def hear(self, model: str, text: str) -> None:
        self._so_far.setdefault(model, []).append(text)
        self._tell(Thought(model, text))

    def drop(self, model: str) -> str:
        """What it had thought."""
        thought = "".join(self._so_far.pop(model, ()))
        if thought:
            self._tell(ThoughtsDropped(model))
        return thought

    def keep_only(self, model: str) -> None:
        for other in [name for name in self._so_far if name != model]:
            self.drop(other)

    def of(self, model: str) -> str:
        return "".join(self._so_far.get(model, ()))

    def longest(self) -> str:
        """Of several who think side by side, the thoughts of the one that came furthest."""
        return max((self.of(model) for model in self._so_far), key=len, default="")

    def take(self) -> list[Thought | ThoughtsDropped]:
        """What has not been handed on yet."""
        news, self._news = self._news, []
        return news

    async def until_one_is_done(
        self, tasks: Collection[asyncio.Task[Any]], seconds: float | None
    ) -> AsyncGenerator[Thought | ThoughtsDropped, None]:
        """What is thought until one of `tasks` is done, or `seconds` have passed."""
        ends = None if seconds is None else time.perf_counter() + seconds
        is_over = False
        while not is_over:
            if not self._news:
                self._bell = asyncio.get_running_loop().create_future()
                left = None if ends is None else max(0.0, ends - time.perf_counter())
                await asyncio.wait([*tasks, self._bell], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            has_waited = ends is not None and time.perf_counter() >= ends
            is_over = has_waited or any(task.done() for task in tasks)
            for each in self.take():
                yield each

    def _tell(self, news: Thought | ThoughtsDropped) -> None:
        self._news.append(news)
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)
