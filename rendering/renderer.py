"""Renderer: the one way from messages to tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from rendering.errors import RenderError, RowTooLong
from rendering.missing import refuse_missing
from rendering.model_files import ModelFiles, read_model_files, stamp
from rendering.template import compile_template
from rendering.tool_calls import check_calls, fitted
from rendering.turns import answer_ranges, drop_oldest_turns, turn_starts

# A str can hold one half of a pair, as JSON can escape it; no tokenizer can read it.
SURROGATE = re.compile("[\ud800-\udfff]")
ROLES = ("system", "developer", "user", "assistant", "tool")
Message = dict


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model sees it.

    `token_ids`, `mask` and `offsets` have one entry per token: the id, whether it is trained, and the range
    of characters of `text` it stands for. `dropped_turns` counts exchanges (a question with its answer)
    left out so that the rest fits; `cut_tokens` are those cut off the end of a plain text.
    """

    text: str
    token_ids: list[int]
    mask: list[bool]
    dropped_turns: int = 0
    offsets: list[tuple[int, int]] = field(default_factory=list, repr=False)
    cut_tokens: int = 0

    @property
    def trained_tokens(self) -> int:
        return sum(self.mask)

    def spans(self) -> list[tuple[str, bool]]:
        """(text of a token, whether it is trained), in order; joined they give `text` again.

        A character that takes several tokens appears once, with the last of them.
        """
        found: list[tuple[str, bool]] = []
        at = 0
        for (_, end), trained in zip(self.offsets, self.mask, strict=True):
            if end > at:
                found.append((self.text[at:end], trained))
                at = end
        if at < len(self.text):
            found.append((self.text[at:], False))
        return found


class Renderer:
    """Renders by one model directory's tokenizer and chat template. Threads may share it.

    `context` is the model's context in tokens (None if unknown), `stop_token_ids` what ends an answer.
    """

    def __init__(self, files: ModelFiles, directory: Path):
        self.directory = directory
        self.context = files.context
        self.special_tokens = files.special_tokens
        self.stop_token_ids = files.stop_token_ids
        self.tokenizer = files.tokenizer
        self.template = files.template
        self._template = compile_template(files.template)
        added = files.tokenizer.get_added_tokens_decoder().values()
        self._special_texts = tuple(token.content for token in added if token.special)

    @classmethod
    def from_directory(cls, path: str | Path) -> "Renderer":
        """The renderer of a model directory; kept, and read anew when one of its files changes."""
        directory = Path(path).resolve()
        return _load(directory, stamp(directory))

    def render_text(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[dict] | None = None,
    ) -> str:
        """The text only."""
        variables = self._variables(tools)
        return self._template.render(
            fitted(self._template, _checked(messages), variables),
            add_generation_prompt=add_generation_prompt,
            **variables,
        )

    def render_prompt(self, messages: Sequence[Message], *, tools: Sequence[dict] | None = None) -> Rendered:
        """What the model is given before it answers: ends with the opening of an assistant turn."""
        text = self.render_text(messages, add_generation_prompt=True, tools=tools)
        return self._tokenized(text, [], 0)

    def render_training(
        self,
        messages: Sequence[Message],
        max_length: int | None = None,
        *,
        tools: Sequence[dict] | None = None,
    ) -> Rendered:
        """A whole example with the mask of what is learned: assistant turns, their tool calls and end-of-turn token.

        The last message must be the assistant's. A message with `"weight": 0` is read but not learned. `tools` are
        in OpenAI's shape. An example longer than `max_length` tokens loses its oldest turns after the system
        message; raises RowTooLong when the last question and answer alone do not fit, and RenderError when the
        template refuses the messages, leaves something of them out or does not show where the answers are.
        """
        return self._fitting([messages], len(messages), max_length, tools)[0]

    def render_answers(
        self,
        prompt: Sequence[Message],
        answers: Sequence[Sequence[Message]],
        max_length: int | None = None,
        *,
        tools: Sequence[dict] | None = None,
    ) -> list[Rendered]:
        """`prompt` with each of `answers` behind it, whole examples of which only the answer is learned.

        When the longest takes more than `max_length` tokens, all of them lose the same oldest turns of the prompt,
        so that they stay answers to one question; an answer is never shortened. Raises as `render_training` does.
        """
        context = [{**message, "weight": 0} if isinstance(message, dict) else message for message in prompt]
        return self._fitting([[*context, *answer] for answer in answers], len(context), max_length, tools)

    def _fitting(
        self,
        conversations: Sequence[Sequence[Message]],
        shared: int,
        max_length: int | None,
        tools: Sequence[dict] | None,
    ) -> list[Rendered]:
        """Each conversation whole, or all without as many of their oldest turns as the longest needs.

        Only turns among the first `shared` messages, which all of them have, are dropped, and never the last of these.
        """
        variables = self._variables(tools)
        checked = [fitted(self._template, _answered(messages), variables) for messages in conversations]
        whole = [self._training(messages, 0, variables) for messages in checked]
        for rendered, messages in zip(whole, checked, strict=True):
            refuse_missing(rendered.text, messages, variables.get("tools"))
        if max_length is None or _longest(whole) <= max_length:
            return whole
        # The more is dropped, the shorter: halve the range instead of trying one turn after the other.
        fewest, most = 1, len(turn_starts(checked[0][:shared])) - 1
        best = self._without(checked, most, variables) if most >= 1 else whole
        if _longest(best) > max_length:
            raise RowTooLong(_longest(best), max_length)
        while fewest < most:
            middle = (fewest + most) // 2
            attempt = self._without(checked, middle, variables)
            if _longest(attempt) <= max_length:
                best, most = attempt, middle
            else:
                fewest = middle + 1
        return best

    def _without(self, conversations: list[list[Message]], turns: int, variables: dict) -> list[Rendered]:
        return [
            self._training(drop_oldest_turns(messages, turns), turns, variables) for messages in conversations
        ]

    def render_plain(self, text: str, max_length: int | None = None) -> Rendered:
        """A plain text, all of it learned, with the end-of-text token behind it; no template is asked.

        What is longer than `max_length` tokens loses its end (`cut_tokens`). Raises RenderError for an empty text.
        """
        if not text.strip():
            raise RenderError("The text is empty.")
        if half := SURROGATE.search(text):
            raise RenderError(
                f"The text holds {ascii(half[0])}, half of a surrogate pair, which is no character."
            )
        beginning = self._beginning()
        whole = beginning + text + self.special_tokens.get("eos_token", "")
        rendered = self._tokenized(whole, [(len(beginning), len(whole))], 0)
        if max_length is None or len(rendered.token_ids) <= max_length:
            return rendered
        return Rendered(
            whole[: rendered.offsets[max_length - 1][1]],
            rendered.token_ids[:max_length],
            rendered.mask[:max_length],
            offsets=rendered.offsets[:max_length],
            cut_tokens=len(rendered.token_ids) - max_length,
        )

    def _beginning(self) -> str:
        """The begin-of-text token, where the tokenizer puts one before every text."""
        bos = self.special_tokens.get("bos_token", "")
        first = self.tokenizer.encode("").ids[:1]
        return bos if bos and first == [self.tokenizer.token_to_id(bos)] else ""

    def _variables(self, tools: Sequence[dict] | None) -> dict:
        return {**self.special_tokens, "tools": list(tools)} if tools else self.special_tokens

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    def _training(self, messages: list[Message], dropped: int, variables: dict) -> Rendered:
        text, ranges = answer_ranges(self._template, messages, variables, self._special_texts)
        rendered = self._tokenized(text, ranges, dropped)
        if not any(rendered.mask):
            raise RenderError(
                "Nothing in this conversation would be learned: no assistant message has any text."
            )
        return rendered

    def _tokenized(self, text: str, ranges: list[tuple[int, int]], dropped: int) -> Rendered:
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        mask = _token_mask(encoding.offsets, ranges)
        return Rendered(text, encoding.ids, mask, dropped, encoding.offsets)


@lru_cache(maxsize=16)
def _load(directory: Path, _stamp: tuple) -> Renderer:
    return Renderer(read_model_files(directory), directory)


def _longest(rendered: list[Rendered]) -> int:
    return max(len(one.token_ids) for one in rendered)


def _answered(messages: Sequence[Message]) -> list[Message]:
    """Checked copies; raises RenderError unless the last one is an answer."""
    checked = _checked(messages, keep_weight=True)
    if not checked or checked[-1]["role"] != "assistant":
        last = checked[-1]["role"] if checked else "nothing"
        raise RenderError(f"The last message must be the assistant's, not {last}.")
    return checked


def _checked(messages: Sequence[Message], *, keep_weight: bool = False) -> list[Message]:
    """Copies with `role` and `content` checked; `weight` is ours and stays out of the template's sight."""
    checked = []
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            role = message.get("role") if isinstance(message, dict) else message
            raise RenderError(f"Message {number} has the role {role!r}; known are {', '.join(ROLES)}.")
        if message.get("tool_calls"):
            check_calls(message["tool_calls"], number)
            message = {**message, "content": message.get("content") or ""}
        if not isinstance(message.get("content"), str):
            raise RenderError(
                f"Message {number} needs text as content, not {type(message.get('content')).__name__}."
            )
        if half := SURROGATE.search(message["content"]):
            raise RenderError(
                f"Message {number} holds {ascii(half[0])}, half of a surrogate pair, which is no character."
            )
        copy = dict(message)
        if not keep_weight:
            copy.pop("weight", None)
        checked.append(copy)
    return checked


def _token_mask(offsets: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> list[bool]:
    """True for each token that shares a character with one of `ranges` (sorted, apart from each other)."""
    mask = [False] * len(offsets)
    if not ranges:
        return mask
    following = iter(ranges)
    start, end = next(following)
    for index, (first, last) in enumerate(offsets):
        # Byte-level tokenizers trim spaces off the offsets; a token of spaces alone is left empty at its end.
        first = min(first, last - 1)
        while first >= end:
            start, end = next(following, (len(offsets) + last, float("inf")))
        mask[index] = last > start
    return mask
