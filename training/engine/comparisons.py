"""Rows that compare answers or mark them, as token ids and labels: only the answers are learned."""

from dataclasses import dataclass
from pathlib import Path

from rendering import Rendered, Renderer
from training.engine.data import (
    ADVICE_ROWS,
    IGNORED,
    Example,
    Examples,
    Row,
    collect,
    example_of,
    read_rows,
)
from training.engine.errors import BAD_DATA, EngineError

ADVICE_PAIRS = "Choose a set that compares answers: prompt, chosen and rejected."
ADVICE_MARKS = "Choose a set that marks answers as good or bad: prompt, completion and label."


@dataclass(frozen=True)
class Pair:
    """Two answers to one question, each with the same prompt before it."""

    chosen: Example
    rejected: Example

    @property
    def examples(self) -> tuple[Example, ...]:
        return self.chosen, self.rejected


@dataclass(frozen=True)
class Marked:
    """One answer with its prompt, and whether somebody found it good."""

    example: Example
    is_good: bool

    @property
    def examples(self) -> tuple[Example, ...]:
        return (self.example,)

    @property
    def answer_at(self) -> int:
        """The place of the answer's first token."""
        return next(place for place, label in enumerate(self.example.labels) if label != IGNORED)

    def answered_by(self, other: "Marked", max_length: int) -> Example:
        """This prompt with the answer of `other`, cut off after `max_length` tokens."""
        prompt = self.example.input_ids[: self.answer_at]
        answer, labels = other.example.input_ids[other.answer_at :], other.example.labels[other.answer_at :]
        return Example([*prompt, *answer][:max_length], [*[IGNORED] * len(prompt), *labels][:max_length])


def read_pairs(path: str | Path, renderer: Renderer, max_length: int) -> Examples[Pair]:
    """Preferences, of which the longer answer with its prompt takes at most `max_length` tokens.

    Raises EngineError (bad_data) as `collect` does, and for a row of another kind.
    """

    def read(row: Row) -> tuple[Pair, Rendered]:
        prompt, chosen, rejected = _messages(row, ("prompt", "chosen", "rejected"), ADVICE_PAIRS)
        first, second = renderer.render_answers(prompt, [chosen, rejected], max_length, tools=row.tools)
        return Pair(_to_the_answer(first), _to_the_answer(second)), first

    return collect(read_rows(path), read, max_length)


def read_marked(path: str | Path, renderer: Renderer, max_length: int) -> Examples[Marked]:
    """Marked answers, each with its prompt at most `max_length` tokens; raises as `read_pairs` does."""

    def read(row: Row) -> tuple[Marked, Rendered]:
        prompt, completion = _messages(row, ("prompt", "completion"), ADVICE_MARKS)
        label = row.value.get("label")
        if not isinstance(label, bool):
            raise EngineError(
                BAD_DATA, f"Row {row.number} of the examples has the label {label!r}.", ADVICE_MARKS
            )
        (rendered,) = renderer.render_answers(prompt, [completion], max_length, tools=row.tools)
        return Marked(_to_the_answer(rendered), label), rendered

    return collect(read_rows(path), read, max_length)


def _messages(row: Row, names: tuple[str, ...], advice: str) -> list[list[dict]]:
    found = [row.value.get(name) for name in names]
    for name, value in zip(names, found, strict=True):
        if not isinstance(value, list) or not value:
            holds = ", ".join(
                sorted(key for key in row.value if key not in ("split", "line", "conversation"))
            )
            raise EngineError(
                BAD_DATA,
                f"Row {row.number} of the examples has no {name}; it holds {holds or 'nothing'}.",
                advice if name not in row.value else ADVICE_ROWS,
            )
    return found  # type: ignore[return-value]


def _to_the_answer(rendered: Rendered) -> Example:
    """Without what the template puts behind the end of the answer, which nobody learns or reads."""
    example = example_of(rendered)
    end = len(rendered.mask) - rendered.mask[::-1].index(True)
    return Example(example.input_ids[:end], example.labels[:end])
