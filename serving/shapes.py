"""OpenAI's answers, whole and in chunks, written in one place. No Django and no torch in here."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the model's own tokenizer, chat template included."""

    prompt_tokens: int
    completion_tokens: int

    def body(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """Builds the objects of one chat answer, so that all its chunks share id, time and model name."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """The whole answer with its one choice."""
        return self.answer([self.choice(text, finish_reason)], usage)

    def choice(
        self, text: str, finish_reason: str, index: int = 0, logprobs: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """One of the choices of `answer`; `logprobs` are `token_logprob`s, one for each token."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "finish_reason": finish_reason} | _logprobs(logprobs)

    def answer(self, choices: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        """The whole answer."""
        return _object(self, "chat.completion", choices) | {"usage": usage.body()}

    def first_chunk(self, include_usage: bool = False, index: int = 0) -> dict[str, Any]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return self._chunk(delta, None, include_usage, index)

    def text_chunk(
        self,
        text: str,
        include_usage: bool = False,
        index: int = 0,
        logprobs: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        return self._chunk({"content": text}, None, include_usage, index, logprobs)

    def last_chunk(self, finish_reason: str, include_usage: bool = False, index: int = 0) -> dict[str, Any]:
        return self._chunk({}, finish_reason, include_usage, index)

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """Comes after the last one, with no choices, when the request asked for `include_usage`."""
        return _object(self, "chat.completion.chunk", []) | {"usage": usage.body()}

    def _chunk(
        self,
        delta: dict[str, Any],
        finish_reason: str | None,
        include_usage: bool,
        index: int,
        logprobs: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason} | _logprobs(logprobs)
        chunk = _object(self, "chat.completion.chunk", [choice])
        return chunk | {"usage": None} if include_usage else chunk


@dataclass(frozen=True, slots=True)
class TextShape:
    """The same for `/v1/completions`, whose choices are plain text, whole and in chunks alike."""

    model: str
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def choice(
        self,
        text: str,
        finish_reason: str | None,
        index: int = 0,
        logprobs: dict[str, list] | None = None,
    ) -> dict[str, Any]:
        """`logprobs` as `text_logprobs` makes them; a chunk before the last has no `finish_reason`."""
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}

    def answer(self, choices: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        return _object(self, "text_completion", choices) | {"usage": usage.body()}

    def chunk(self, choice: dict[str, Any], include_usage: bool = False) -> dict[str, Any]:
        chunk = _object(self, "text_completion", [choice])
        return chunk | {"usage": None} if include_usage else chunk

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        return _object(self, "text_completion", []) | {"usage": usage.body()}


def token_logprob(
    token: str, logprob: float, token_bytes: bytes, top: list[tuple[str, float, bytes]]
) -> dict[str, Any]:
    """One entry of a chat choice's `logprobs.content`; `top` are the likeliest tokens, best first."""
    likeliest = [{"token": name, "logprob": value, "bytes": list(raw)} for name, value, raw in top]
    return {"token": token, "logprob": logprob, "bytes": list(token_bytes), "top_logprobs": likeliest}


def text_logprobs(
    tokens: list[str], logprobs: list[float | None], tops: list[dict[str, float] | None], offsets: list[int]
) -> dict[str, list]:
    """`logprobs` of a text choice: for each token its text, its value (None for a first token), the likeliest."""
    return {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}


def _logprobs(content: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {"logprobs": None if content is None else {"content": content, "refusal": None}}


def _object(shape: AnswerShape | TextShape, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": shape.id,
        "object": kind,
        "created": shape.created,
        "model": shape.model,
        "choices": choices,
    }
