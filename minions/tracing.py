"""What is written down of one answer while it comes about. Plain values; `told` is what is kept and shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ledger.money import TokenPrice

# Of one text in a trace so many characters are kept; what is longer says that it was cut.
LONGEST_TEXT = 20_000


class Clock:
    """Milliseconds since it was made, and how many of them others took: `outside` is held while we wait for them.

    Waiting for two at once counts once. Nothing is counted after `first`, from when on words only pass through.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._waiting, self._since, self._outside = 0, 0.0, 0.0
        self.first_ms: float | None = None
        self._own: float | None = None

    def now(self) -> float:
        return (time.perf_counter() - self._begun) * 1000

    @contextmanager
    def outside(self) -> Iterator[None]:
        self._waiting += 1
        if self._waiting == 1:
            self._since = self.now()
        try:
            yield
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._outside += self.now() - self._since

    def note_first(self) -> None:
        if self.first_ms is None:
            self.first_ms = self.now()
            waited = self._outside + (self.now() - self._since if self._waiting else 0.0)
            self._own = self.first_ms - waited

    def own_ms(self) -> float:
        """Of the time to the first words, or of all of it where none came, what was ours."""
        return self._own if self._own is not None else self.now() - self._outside


@dataclass
class Attempt:
    """One try at one outside model that gave nothing that was used. `model` is what the page calls it, with its place
    where a chain names it twice; `asked` its provider and its own name there, as the ledger has them."""

    model: str
    asked: tuple[str, str]
    kind: str
    message: str
    took_ms: float
    is_billed: bool = False  # then it is among what its stage took beside
    thought: str = ""  # before it failed

    def told(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "kind": self.kind,
            "message": cut(self.message, 300),
            "ms": round(self.took_ms, 1),
        } | ({"thought": cut(self.thought, LONGEST_TEXT)} if self.thought else {})


@dataclass
class Beside:
    """What else a stage took: vectors of its question, or a model that was asked in vain and that we hung up on, whose
    provider bills the question all the same. `price` where it is known already; `outcome` and `error` as the ledger
    names them."""

    provider: str
    model: str
    input_tokens: int
    output_tokens: int = 0
    cached_tokens: int = 0
    is_estimated: bool = True
    cost: Decimal | None = None
    price_source: str = ""
    price: TokenPrice | None = None
    outcome: str = "left"
    error: str = ""

    def told(self) -> dict[str, Any]:
        return {
            "provider": self.provider, "model": self.model, "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens, "is_estimated": self.is_estimated,
            "cost": None if self.cost is None else str(self.cost), "price_source": self.price_source,
            "outcome": self.outcome,
        }  # fmt: skip


@dataclass
class Stage:
    """`kind` is style, knowledge, answer or rewrite. `status`: done, skipped, failed, stopped or broken; until it has
    ended a stage counts as stopped. `done_about` says what was done about a failure. `cost` in US dollars with where
    the price is from; None where nobody knows."""

    kind: str
    model: str = ""
    provider: str = ""
    why: str = ""
    status: str = "stopped"
    problem: str = ""
    done_about: str = ""
    prompt: list[dict[str, Any]] = field(default_factory=list)
    passages: list[dict[str, Any]] = field(default_factory=list)
    reranked: list[dict[str, Any]] = field(
        default_factory=list
    )  # `knowledge.reranking.Reranked`; tokens are in `beside`
    text: str = ""
    thought: str = ""  # what a thinking model said to itself
    attempts: list[Attempt] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    passed_over: list[dict[str, str]] = field(default_factory=list)
    began_ms: float = 0.0
    first_ms: float | None = None
    took_ms: float = 0.0
    choosing_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    is_estimated: bool = False
    cost: Decimal | None = None
    price_source: str = ""
    seconds: float = 0.0  # of our own servers

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.kind, "model": self.model, "provider": self.provider, "why": self.why, "status": self.status,
            "problem": cut(self.problem, 500), "done_about": self.done_about,
            "prompt": [each | {"content": cut(each.get("content") or "", LONGEST_TEXT)} for each in self.prompt],
            "passages": self.passages, "reranked": self.reranked, "text": cut(self.text, LONGEST_TEXT),
            "thought": cut(self.thought, LONGEST_TEXT),
            "attempts": [attempt.told() for attempt in self.attempts], "passed_over": self.passed_over,
            "beside": [each.told() for each in self.beside],
            "began_ms": round(self.began_ms, 1), "took_ms": round(self.took_ms, 1),
            "first_ms": None if self.first_ms is None else round(self.first_ms, 1),
            "choosing_ms": round(self.choosing_ms, 2),
            "input_tokens": self.input_tokens, "output_tokens": self.output_tokens, "cached_tokens": self.cached_tokens,
            "is_estimated": self.is_estimated, "cost": None if self.cost is None else str(self.cost),
            "price_source": self.price_source, "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass
class Trace:
    """All stages of one answer, in the order in which they began."""

    clock: Clock = field(default_factory=Clock)
    stages: list[Stage] = field(default_factory=list)
    model: str = ""
    provider: str = ""
    why: str = ""
    problem: str = ""

    def begin(self, kind: str) -> Stage:
        stage = Stage(kind, began_ms=self.clock.now())
        self.stages.append(stage)
        return stage

    def end(self, stage: Stage) -> Stage:
        """It is done, unless something else was said of it."""
        stage.took_ms = self.clock.now() - stage.began_ms
        if stage.status == "stopped":
            stage.status = "done"
        return stage

    def close(self) -> None:
        """Nothing goes on after this: what has not ended was stopped here."""
        for stage in self.stages:
            if stage.status == "stopped":
                stage.took_ms = self.clock.now() - stage.began_ms

    def answered_by(self, stage: Stage) -> None:
        """Whose words the answer is."""
        self.model, self.provider, self.why = stage.model, stage.provider, stage.why

    @property
    def taken(self) -> list[Stage | Beside]:
        """All that took tokens."""
        found: list[Stage | Beside] = []
        for stage in self.stages:
            found += [stage, *stage.beside]
        return found

    @property
    def input_tokens(self) -> int:
        return sum(each.input_tokens for each in self.taken)

    @property
    def output_tokens(self) -> int:
        return sum(each.output_tokens for each in self.taken)

    @property
    def cost(self) -> Decimal:
        return sum((each.cost for each in self.taken if each.cost is not None), Decimal(0))

    @property
    def citations(self) -> list[dict[str, Any]]:
        return [passage for stage in self.stages for passage in stage.passages]


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"
