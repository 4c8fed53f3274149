"""One answer being written: its tokens so far, and what each new one gives. Only the worker thread comes here."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch

from rendering import RenderError
from serving.embedded.base import LoadedAdapter, LoadedBase
from serving.embedded.parts import PLAIN, Part
from serving.embedded.sampling import Sampler, Score, scores_of
from serving.embedded.text import TextStream
from serving.protocol import ApiError, ChatRequest, CompletionRequest
from serving.shapes import Usage

# A token is rarely longer than that many characters, and every message takes at least one token.
LONGEST_TOKEN = 32

_numbers = count()


@dataclass(frozen=True, slots=True)
class End:
    """Why an answer ended (`stop` or `length`) and what it took."""

    finish_reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt as it was read, for those who want it back: with a score for each token but the first if wanted."""

    token_ids: list[int]
    text: str
    first_text: str
    scores: list[Score]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step gave: text, which may be empty, the scores of its token where wanted, the end with the last one.

    The first piece has the prompt.
    """

    text: str
    scores: list[Score] = field(default_factory=list)
    end: End | None = None
    prompt: Prompt | None = None


class Answer:
    """Holds its base and adapter in memory from the start until `close`.

    `number` grows with each one that begins. `token_ids` are the prompt's and all written ones; the first `read` of
    them are in a cache: in its own (`cache`) or in that of the batch.
    """

    def __init__(
        self,
        base: LoadedBase,
        adapter: LoadedAdapter | None,
        request: ChatRequest | CompletionRequest,
        part: Part = PLAIN,
    ):
        self.base, self.adapter, self.part = base, adapter, part
        self.number = next(_numbers)
        self.token_ids = prompt_ids(base, request, part)
        self.read = 0
        self.cache: Any = None
        self._prompt = prompt_of(base, request, part, self.token_ids)
        self._prompt_tokens = len(self.token_ids)
        self._limit = answer_limit(self._prompt_tokens, request.max_tokens, base.context)
        self._stop_ids = set() if part.ignore_eos else set(base.renderer.stop_token_ids)
        self._text = TextStream(base.renderer.decode, request.stop)
        self._sampler = Sampler(request, part.seed_of(request))
        self._top = request.top_logprobs if isinstance(request, ChatRequest) else request.logprobs
        self._written = 0
        base.users += 1
        if adapter:
            adapter.users += 1
        base.batch.add(self)

    @property
    def unread(self) -> list[int]:
        return self.token_ids[self.read :]

    @property
    def wants_prompt_scores(self) -> bool:
        """While the prompt is read; never again when it is read a second time."""
        return self.part.prompt_top is not None and self._prompt is not None

    def score_prompt(self, logits: torch.Tensor, first: int) -> None:
        """`logits`: (tokens, vocabulary) of the pass over the tokens from `first` on."""
        following = self.token_ids[first + 1 : first + 1 + len(logits)]
        if following and self._prompt:
            self._prompt.scores.extend(
                self._scores(logits[: len(following)], following, self.part.prompt_top)
            )

    def take(self, logits: torch.Tensor, best: int) -> Piece:
        """The next token from one row of logits, whose largest is at `best`."""
        prompt, self._prompt = self._prompt, None
        if self._limit == 0:
            return self._last("", "length", [], prompt)
        token = best if self._sampler.is_plain else self._sampler.pick(logits)
        scores = self._scores(logits[None], [token], self._top)
        self._written += 1
        if token in self._stop_ids:
            return self._last(self._text.finish(), "stop", [], prompt)
        text = self._text.push(token)
        if self._text.is_stopped:
            return self._last(text, "stop", scores, prompt)
        if self._written == self._limit:
            text += self._text.finish()
            return self._last(text, "stop" if self._text.is_stopped else "length", scores, prompt)
        self.token_ids.append(token)
        return Piece(text, scores, None, prompt)

    def close(self) -> None:
        """Leaves the batch and lets go of base and adapter."""
        self.base.batch.remove(self)
        self.cache = None
        self.base.users -= 1
        if self.adapter:
            self.adapter.users -= 1
            self.base.drop_if_unused(self.adapter)

    def _scores(self, logits: torch.Tensor, token_ids: list[int], top: int | None) -> list[Score]:
        if top is None:
            return []
        decode = self.base.renderer.decode
        return scores_of(logits, token_ids, top, lambda token: decode([token], skip_special_tokens=False))

    def _last(self, text: str, reason: str, scores: list[Score], prompt: Prompt | None) -> Piece:
        return Piece(text, scores, End(reason, Usage(self._prompt_tokens, self._written)), prompt)


def prompt_ids(base: LoadedBase, request: ChatRequest | CompletionRequest, part: Part) -> list[int]:
    """Token ids of what shall be answered or continued; raises ApiError."""
    if isinstance(request, ChatRequest):
        return chat_ids(base, request.messages)
    prompt = request.prompts[part.prompt]
    if isinstance(prompt, str):
        return text_ids(base, prompt, part.add_special_tokens)
    if strange := [token for token in prompt if not 0 <= token < base.vocabulary]:
        raise ApiError(
            f"`prompt` holds the token id {strange[0]}; this model has the ids 0 to {base.vocabulary - 1}.",
            param="prompt", code="invalid_value",
        )  # fmt: skip
    return list(prompt)


def prompt_of(
    base: LoadedBase, request: ChatRequest | CompletionRequest, part: Part, token_ids: list[int]
) -> Prompt | None:
    """None where nobody wants it back."""
    if part.prompt_top is None and not getattr(request, "echo", False):
        return None
    given = request.prompts[part.prompt] if isinstance(request, CompletionRequest) else None
    text = given if isinstance(given, str) else base.renderer.decode(token_ids, skip_special_tokens=False)
    return Prompt(list(token_ids), text, base.renderer.decode(token_ids[:1], skip_special_tokens=False), [])


def chat_ids(
    base: LoadedBase,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    is_open: bool = True,
) -> list[int]:
    """By the base's own template; with `is_open` ready for an answer to begin. Raises ApiError."""
    check_length(messages, base.context)
    try:
        if is_open:
            return base.renderer.render_prompt(messages, tools=tools).token_ids
        text = base.renderer.render_text(messages, tools=tools)
    except RenderError as error:
        raise ApiError(str(error), param="messages") from error
    return text_ids(base, text, add_special_tokens=False)


def text_ids(base: LoadedBase, text: str, add_special_tokens: bool) -> list[int]:
    check_length([{"content": text}], base.context, "prompt")
    ids = base.renderer.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
    if not ids:
        raise ApiError(
            "`prompt` holds no token; there is nothing to go on from.", param="prompt", code="invalid_value"
        )
    return ids


def check_length(messages: list[dict[str, Any]], context: int, param: str = "messages") -> None:
    """Refuses what cannot fit `context` tokens before it is tokenised, which takes a second per megabyte.

    Nobody else's answer goes on meanwhile. Raises ApiError.
    """
    length = sum(len(message["content"] or "") + LONGEST_TOKEN for message in messages)
    if length > context * LONGEST_TOKEN:
        characters = length - len(messages) * LONGEST_TOKEN
        raise ApiError(
            f"This model's maximum context length is {context} tokens. However, you sent {len(messages)} messages "
            f"with {characters} characters. Please reduce the length of the {param}.",
            param=param, code="context_length_exceeded",
        )  # fmt: skip


def answer_limit(prompt_tokens: int, max_tokens: int | None, context: int) -> int:
    """Most tokens the answer may have; raises ApiError when prompt and answer do not fit the context."""
    room = context - prompt_tokens
    if max_tokens is None and room >= 1:
        return room
    if max_tokens is None or max_tokens > room:
        asked = 1 if max_tokens is None else max_tokens
        raise ApiError(
            f"This model's maximum context length is {context} tokens. However, you requested "
            f"{prompt_tokens + asked} tokens ({prompt_tokens} in the messages, {asked} in the completion). "
            "Please reduce the length of the messages or completion.",
            param="messages", code="context_length_exceeded",
        )  # fmt: skip
    return max_tokens
