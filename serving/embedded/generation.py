"""One answer being written: the prompt in pieces, then token by token. Only the worker thread calls `advance`."""

from __future__ import annotations

from dataclasses import dataclass

from rendering import RenderError
from serving.embedded.base import LoadedAdapter, LoadedBase
from serving.embedded.sampling import Sampler
from serving.embedded.text import TextStream
from serving.protocol import ApiError, ChatRequest
from serving.shapes import Usage

# A long prompt is read in pieces, so that answers beside it keep flowing.
PROMPT_PIECE = 512
# A token is rarely longer than that many characters, and every message takes at least one token.
LONGEST_TOKEN = 32


@dataclass(frozen=True, slots=True)
class End:
    """Why an answer ended (`stop` or `length`) and what it took."""

    finish_reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step gave: text, which may be empty, and the end with the last one."""

    text: str
    end: End | None = None


class Answer:
    """Holds its base and adapter in memory from the start until `close`."""

    def __init__(self, base: LoadedBase, adapter: LoadedAdapter | None, request: ChatRequest):
        self.base, self.adapter = base, adapter
        check_length(request.messages, base.context)
        try:
            self._waiting = base.renderer.render_prompt(request.messages).token_ids
        except RenderError as error:
            raise ApiError(str(error), param="messages") from error
        self._prompt_tokens = len(self._waiting)
        self._limit = answer_limit(self._prompt_tokens, request.max_tokens, base.context)
        self._stop_ids = set(base.renderer.stop_token_ids)
        self._text = TextStream(base.renderer.decode, request.stop)
        self._sampler = Sampler(request)
        self._cache = None
        self._written = 0
        base.users += 1
        if adapter:
            adapter.users += 1

    def advance(self) -> Piece | None:
        """One forward pass; None while the prompt is still being read."""
        now, self._waiting = self._waiting[:PROMPT_PIECE], self._waiting[PROMPT_PIECE:]
        logits, self._cache = self.base.run(now, self._cache, self.adapter)
        if self._waiting:
            return None
        token = self._sampler.pick(logits)
        self._written += 1
        if token in self._stop_ids:
            return self._last(self._text.finish(), "stop")
        text = self._text.push(token)
        if self._text.is_stopped:
            return self._last(text, "stop")
        if self._written == self._limit:
            text += self._text.finish()
            return self._last(text, "stop" if self._text.is_stopped else "length")
        self._waiting = [token]
        return Piece(text)

    def close(self) -> None:
        """Frees the cache and lets go of base and adapter."""
        self._cache = None
        self.base.users -= 1
        if self.adapter:
            self.adapter.users -= 1
            self.base.drop_if_unused(self.adapter)

    def _last(self, text: str, reason: str) -> Piece:
        return Piece(text, End(reason, Usage(self._prompt_tokens, self._written)))


def check_length(messages: list[dict[str, str]], context: int) -> None:
    """Refuses what cannot fit `context` tokens before it is tokenised, which takes a second per megabyte.

    Nobody else's answer goes on meanwhile. Raises ApiError.
    """
    length = sum(len(message["content"]) + LONGEST_TOKEN for message in messages)
    if length > context * LONGEST_TOKEN:
        characters = length - len(messages) * LONGEST_TOKEN
        raise ApiError(
            f"This model's maximum context length is {context} tokens. However, you sent {len(messages)} messages "
            f"with {characters} characters. Please reduce the length of the messages.",
            param="messages", code="context_length_exceeded",
        )  # fmt: skip


def answer_limit(prompt_tokens: int, max_tokens: int | None, context: int) -> int:
    """Most tokens the answer may have; raises ApiError when prompt and answer do not fit the context."""
    room = context - prompt_tokens
    if max_tokens is None and room >= 1:
        return room
    if max_tokens is None or max_tokens > room:
        asked = max_tokens or 1
        raise ApiError(
            f"This model's maximum context length is {context} tokens. However, you requested "
            f"{prompt_tokens + asked} tokens ({prompt_tokens} in the messages, {asked} in the completion). "
            "Please reduce the length of the messages or completion.",
            param="messages", code="context_length_exceeded",
        )  # fmt: skip
    return max_tokens
