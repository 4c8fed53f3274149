"""One example as a base model reads it: its tokens, which of them are learned, what truncation leaves out.

No Django inside. Page, API and the measuring of whole versions come here, so they cannot differ.
"""

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
    fit (they take `shortest_tokens`): the tokens are then those of the whole, and training leaves the example out. Of a
    preference both answers must fit, and both lose the same turns.
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
    whole = render_row(renderer, row, kind, None)
    cut, too_long = whole, None
    if max_length is not None and longest(whole) > max_length:
        try:
            cut = render_row(renderer, row, kind, max_length)
        except RowTooLong as problem:
            too_long = problem.tokens
    sides = (CHOSEN, REJECTED) if kind == "preference" else ("",)
    return [
        Reading(
            rendered=read,
            tokens=tokens_of(renderer, read),
            whole_tokens=len(all_of_it.token_ids),
            side=side,
            dropped=_dropped(row, read.dropped_turns),
            cut_text=all_of_it.text[len(read.text) :] if read.cut_tokens else "",
            is_too_long=too_long is not None,
            shortest_tokens=too_long,
        )
        for side, all_of_it, read in zip(sides, whole, cut, strict=True)
    ]


def render_row(
    renderer: Renderer, row: dict[str, Any], kind: str, max_length: int | None = None
) -> list[Rendered]:
    """Each conversation in a row as it is trained: one, or two of a preference, whose prompts stay the same.

    Of prompts nothing is learned. Raises RenderError, RowTooLong.
    """
    if kind == "text":
        return [renderer.render_plain(row["text"], max_length)]
    tools = row.get("tools")
    if kind == "preference":
        answers = [row[CHOSEN], row[REJECTED]]
        return renderer.render_answers(row["prompt"], answers, max_length, tools=tools)
    if kind == "unpaired":
        return renderer.render_answers(row["prompt"], [row["completion"]], max_length, tools=tools)
    return [renderer.render_training(row["messages"], max_length, tools=tools)]


def longest(rendered: list[Rendered]) -> int:
    return max(len(one.token_ids) for one in rendered)


def shortest(renderer: Renderer, row: dict[str, Any], kind: str, whole: list[Rendered]) -> int:
    """Tokens that the longest takes once every turn but the last is dropped; a plain text can be cut anywhere."""
    if kind == "text":
        return 1
    key, messages = _turns(row)
    starts = turn_starts(messages)
    if len(starts) < 2:
        return longest(whole)
    kept = {**row, key: messages[: starts[0]] + messages[starts[-1] :]}
    return longest(render_row(renderer, kept, kind))


def _turns(row: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Where the turns are that truncation may drop, and these messages."""
    key = "messages" if "messages" in row else "prompt"
    return key, row.get(key) or []


def _dropped(row: dict[str, Any], turns: int) -> list[dict[str, Any]]:
    _key, messages = _turns(row)
    starts = turn_starts(messages)
    return messages[starts[0] : starts[turns]] if turns else []


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
