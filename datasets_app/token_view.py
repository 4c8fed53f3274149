"""One example as a base model reads it: its tokens, which of them are learned, what truncation leaves out.

No Django inside. Page, API and the measuring of whole versions come here, so they cannot differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rendering import Rendered, Renderer, RowTooLong
from rendering.turns import turn_starts

CHOSEN, REJECTED = "chosen", "rejected"


@dataclass(frozen=True)
class Token:
    """A piece of text as the model counts it; `is_special` marks one that the template sets, as <|im_end|>."""

    text: str
    is_trained: bool
    is_special: bool


@dataclass(frozen=True)
class Reading:
    """What the model reads of one conversation, or of one plain text.

    `whole_tokens` is what all of it takes, `token_count` what is read of it once the `dropped` messages, or the
    `cut_text` at the end of a plain text, are left out. With `is_too_long` not even the last question and its answer
    fit (they take `shortest_tokens`): the tokens are then those of the whole, and training leaves the example out.
    """

    rendered: Rendered
    tokens: list[Token] = field(repr=False)
    whole_tokens: int
    side: str = ""  # "chosen" or "rejected" of a preference
    dropped: list[dict[str, Any]] = field(default_factory=list)
    cut_text: str = ""
    is_too_long: bool = False
    shortest_tokens: int | None = None

    @property
    def token_count(self) -> int:
        return len(self.rendered.token_ids)

    @property
    def trained_count(self) -> int:
        return self.rendered.trained_tokens

    @property
    def dropped_turns(self) -> int:
        return self.rendered.dropped_turns


def read_row(renderer: Renderer, row: dict[str, Any], kind: str, max_length: int | None) -> list[Reading]:
    """What the model reads of a stored row: one reading, or two of a preference (chosen, then rejected).

    Raises RenderError when the model's template does not take the row; the text says why.
    """
    return [_read(renderer, side, wanted, max_length) for side, wanted in conversations_of(row, kind)]


def conversations_of(row: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(side, what `render` takes) of each conversation in a row. Of prompts nothing is learned."""
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    if kind == "text":
        yield "", {"text": row["text"]}
    elif kind == "preference":
        for side in (CHOSEN, REJECTED):
            yield side, {"messages": [*_unlearned(row["prompt"]), *row[side]], **tools}
    elif kind == "unpaired":
        yield "", {"messages": [*_unlearned(row["prompt"]), *row["completion"]], **tools}
    else:
        yield "", {"messages": row["messages"], **tools}


def render(renderer: Renderer, wanted: dict[str, Any], max_length: int | None) -> Rendered:
    """The example by the way that fits it. Raises RenderError, RowTooLong."""
    if "text" in wanted:
        return renderer.render_plain(wanted["text"], max_length)
    return renderer.render_training(wanted["messages"], max_length, tools=wanted.get("tools"))


def shortest(renderer: Renderer, wanted: dict[str, Any], whole: Rendered) -> int:
    """Tokens that are left of `whole` when every turn but the last is dropped; a plain text can be cut anywhere."""
    if "text" in wanted:
        return 1
    messages = wanted.get("messages") or []
    starts = turn_starts(messages)
    if len(starts) < 2:
        return len(whole.token_ids)
    kept = {**wanted, "messages": messages[: starts[0]] + messages[starts[-1] :]}
    return len(render(renderer, kept, None).token_ids)


def _read(renderer: Renderer, side: str, wanted: dict[str, Any], max_length: int | None) -> Reading:
    whole = render(renderer, wanted, None)
    if max_length is None or len(whole.token_ids) <= max_length:
        return Reading(whole, tokens_of(renderer, whole), len(whole.token_ids), side)
    try:
        cut = render(renderer, wanted, max_length)
    except RowTooLong as problem:
        return Reading(
            whole, tokens_of(renderer, whole), len(whole.token_ids), side,
            is_too_long=True, shortest_tokens=problem.tokens,
        )  # fmt: skip
    messages = wanted.get("messages") or []
    starts = turn_starts(messages)
    dropped = messages[starts[0] : starts[cut.dropped_turns]] if cut.dropped_turns else []
    cut_text = whole.text[len(cut.text) :] if cut.cut_tokens else ""
    return Reading(cut, tokens_of(renderer, cut), len(whole.token_ids), side, dropped, cut_text)


def tokens_of(renderer: Renderer, rendered: Rendered) -> list[Token]:
    """The tokens in order; joined, their texts give the rendered text again.

    A character that takes several tokens appears once, with the last of them.
    """
    added = renderer.tokenizer.get_added_tokens_decoder()
    special = {number for number, token in added.items() if token.special}
    found: list[Token] = []
    at = 0
    for number, (_start, end), trained in zip(
        rendered.token_ids, rendered.offsets, rendered.mask, strict=True
    ):
        if end > at:
            found.append(Token(rendered.text[at:end], trained, number in special))
            at = end
    if at < len(rendered.text):
        found.append(Token(rendered.text[at:], False, False))
    return found


def _unlearned(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Context: the model reads the answers in it and does not learn them."""
    return [{**message, "weight": 0} if message["role"] == "assistant" else message for message in messages]
