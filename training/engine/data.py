"""Rows from a file of conversations or texts to token ids and labels."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from rendering import Rendered, Renderer, RenderError, RowTooLong
from training.engine.errors import BAD_DATA, EngineError

IGNORED = -100
FIRST_ROWS = 32
ADVICE_KIND = "Choose a set of conversations or of texts: this training learns from examples to imitate."
ADVICE_ROWS = "Look at the examples again, mend this one, and start over."


@dataclass(frozen=True)
class Row:
    """One line of the rows file: `value` is the object that it holds, as docs/architecture.md describes.

    `number` counts the lines of the rows file from 1, `line` is where it was in the upload.
    """

    number: int
    value: dict[str, Any]
    is_held_out: bool
    line: int | None = None

    @property
    def place(self) -> str:
        return f"line {self.line}" if self.line is not None else f"row {self.number}"

    @property
    def messages(self) -> list[dict]:
        """The conversation, of a preference with the better answer; empty for a plain text."""
        if "prompt" in self.value:
            answer = self.value.get("chosen") or self.value.get("completion")
            return [*(self.value["prompt"] or []), *(answer or [])]
        messages = self.value.get("messages")
        return messages if isinstance(messages, list) else []

    @property
    def text(self) -> str:
        text = self.value.get("text")
        return text if isinstance(text, str) and text.strip() and not self.messages else ""

    @property
    def tools(self) -> list[dict] | None:
        return self.value.get("tools") or None


@dataclass(frozen=True)
class Example:
    """`input_ids` as the model reads them; `labels` the same, -100 where nothing is learned."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained_tokens(self) -> int:
        """Positions that have a next token to learn; the first token has nothing before it."""
        return sum(label != IGNORED for label in self.labels[1:])


Learned = TypeVar("Learned")


@dataclass
class Examples(Generic[Learned]):
    """Everything the recipe trains and checks on, and what had to be left out.

    `shortened_rows` lost their oldest turns (`dropped_turns`), or, as plain texts, their end (`cut_tokens`).
    `first_rows` and `first_held_out_rows` are the first of each as they came, to ask the model their questions.
    """

    train: list[Learned] = field(default_factory=list)
    held_out: list[Learned] = field(default_factory=list)
    shortened_rows: int = 0
    dropped_turns: int = 0
    cut_tokens: int = 0
    too_long: list[str] = field(default_factory=list)
    first_rows: list[Row] = field(default_factory=list)
    first_held_out_rows: list[Row] = field(default_factory=list)


def read_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a JSON-lines file; raises EngineError (bad_data) naming the line that is wrong."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield _row(number, text)
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(BAD_DATA, f"The examples cannot be read: {error}", ADVICE_ROWS) from error


def read_examples(path: str | Path, renderer: Renderer, max_length: int) -> Examples[Example]:
    """Rendered conversations and texts, each at most `max_length` tokens; raises as `collect` does."""

    def read(row: Row) -> tuple[Example, Rendered]:
        rendered = _render(row, renderer, max_length)
        return example_of(rendered), rendered

    return collect(read_rows(path), read, max_length)


def collect(
    rows: Iterable[Row], read: Callable[[Row], tuple[Learned, Rendered]], max_length: int
) -> Examples[Learned]:
    """What `read` makes of each row, with the rendering that says what was cut.

    A row whose last question and answer alone are longer is left out and named in `too_long`; a plain text loses
    its end. Raises EngineError (bad_data) when the model's template refuses a row or nothing is left to train on.
    """
    found: Examples[Learned] = Examples()
    for row in rows:
        try:
            example, rendered = read(row)
        except RowTooLong:
            found.too_long.append(row.place)
            continue
        except RenderError as error:
            raise EngineError(
                BAD_DATA, f"The example in {row.place} cannot be used: {error}", ADVICE_ROWS
            ) from error
        (found.held_out if row.is_held_out else found.train).append(example)
        first = found.first_held_out_rows if row.is_held_out else found.first_rows
        if len(first) < FIRST_ROWS:
            first.append(row)
        found.shortened_rows += rendered.dropped_turns > 0 or rendered.cut_tokens > 0
        found.dropped_turns += rendered.dropped_turns
        found.cut_tokens += rendered.cut_tokens
    if not found.train:
        raise EngineError(BAD_DATA, _nothing_left(found, max_length), "Add examples, or allow longer ones.")
    return found


def example_of(rendered: Rendered) -> Example:
    labels = [
        token if trained else IGNORED
        for token, trained in zip(rendered.token_ids, rendered.mask, strict=True)
    ]
    return Example(rendered.token_ids, labels)


def _render(row: Row, renderer: Renderer, max_length: int) -> Rendered:
    if other := _other_kind(row.value):
        raise EngineError(BAD_DATA, f"Row {row.number} of the examples holds {other}.", ADVICE_KIND)
    if row.messages:
        return renderer.render_training(row.messages, max_length, tools=row.tools)
    if row.text:
        return renderer.render_plain(row.text, max_length)
    raise EngineError(BAD_DATA, f"Row {row.number} of the examples has no messages and no text.", ADVICE_ROWS)


def _nothing_left(found: Examples, max_length: int) -> str:
    if found.too_long:
        return f"None of the examples fits into {max_length} tokens ({len(found.too_long)} are longer)."
    return f"There are no examples to train on ({len(found.held_out)} are held out)."


def _row(number: int, text: str) -> Row:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise EngineError(
            BAD_DATA, f"Row {number} of the examples is not JSON: {error}", ADVICE_ROWS
        ) from error
    value = value if isinstance(value, dict) else {}
    split = value.get("split", "train")
    if split not in ("train", "held_out"):
        raise EngineError(BAD_DATA, f"Row {number} of the examples has the split {split!r}.", ADVICE_ROWS)
    line = value.get("line")
    return Row(number, value, split == "held_out", line if isinstance(line, int) else None)


def _other_kind(value: dict[str, Any]) -> str:
    """What a row holds that this training cannot learn from."""
    if "chosen" in value and "rejected" in value:
        return "two answers to compare (a preference)"
    if "prompt" in value and "completion" in value:
        return "an answer marked as good or bad"
    return ""
