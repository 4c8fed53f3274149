"""OpenAI's chat completion answers, whole and in chunks, written in one place. No Django and no torch in here."""

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
    """Builds the objects of one answer, so that all its chunks share id, time and model name."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return self._object("chat.completion", [choice]) | {"usage": usage.body()}

    def first_chunk(self, include_usage: bool = False) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None, include_usage)

    def text_chunk(self, text: str, include_usage: bool = False) -> dict[str, Any]:
        return self._chunk({"content": text}, None, include_usage)

    def last_chunk(self, finish_reason: str, include_usage: bool = False) -> dict[str, Any]:
        return self._chunk({}, finish_reason, include_usage)

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """Comes after the last one, with no choices, when the request asked for `include_usage`."""
        return self._object("chat.completion.chunk", []) | {"usage": usage.body()}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None, include_usage: bool) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._object("chat.completion.chunk", [choice])
        return chunk | {"usage": None} if include_usage else chunk

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": None,
        }
