"""From a body to what is passed on: checked by the abilities of what answers, in the bytes that came."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.protocol import (
    Ability,
    ApiError,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    chat,
    completions,
    embeddings,
    values,
)

Request = ChatRequest | CompletionRequest | EmbeddingRequest

_read = msgspec.json.Decoder().decode
_read_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_write = msgspec.json.Encoder().encode

WITH_USAGE = msgspec.Raw(b'{"include_usage":true}')


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the addresses: how its bodies are read, and what of them is passed on."""

    activity: str  # as the ledger names it
    path: str
    parse: Callable[[Any, frozenset[Ability]], Request]
    known: frozenset[str]
    asking: Mapping[str, Any]


KINDS = {
    kind.path: kind
    for kind in (
        Kind(
            "chat", "/v1/chat/completions", chat.parse_chat_request,
            chat.KNOWN - {"stream_options"}, chat.ASKING,
        ),
        Kind(
            "completions", "/v1/completions", completions.parse_completion_request,
            completions.KNOWN - {"stream_options"}, completions.ASKING,
        ),
        Kind(
            "embeddings", "/v1/embeddings", embeddings.parse_embedding_request,
            embeddings.KNOWN, {},
        ),
    )
}  # fmt: skip


class Body:
    """A body that came. Raises ApiError (400) where it is no JSON object with a model's name."""

    __slots__ = ("_bytes", "_found", "_problem", "model")

    def __init__(self, body: bytes):
        self._bytes = body
        self._problem: Exception | None = None
        try:
            found = _read(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
            found = self._read_slowly(problem)
        if not isinstance(found, dict):
            raise ApiError("The request body must be a JSON object.")
        self._found = found
        self.model = values.model_name(values.as_object(found))

    def _read_slowly(self, problem: Exception) -> Any:
        """A more lenient reader finds what can be named: half a surrogate pair, a number that is none."""
        self._problem = problem
        try:
            return json.loads(self._bytes)
        except (ValueError, RecursionError) as error:
            raise no_json(error) from error

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._bytes)

    def has(self, name: str) -> bool:
        """Whether the client set this parameter."""
        return self._found.get(name) is not None

    def parsed(self, kind: Kind, abilities: frozenset[Ability]) -> Request:
        request = kind.parse(self._found, abilities)
        if self._problem:
            raise no_json(self._problem)
        return request

    def outgoing(
        self, kind: Kind, request: Request, served_name: bytes, abilities: frozenset[Ability]
    ) -> bytes:
        """The body for the server: its own name of the model, and each value in the bytes that came.

        Hints stay here: they change nothing there either, and some servers refuse what they do not know.
        """
        found, known, asking = self._found, kind.known, kind.asking
        sent: dict[str, Any] = {}
        for name, value in _read_raw(self._bytes).items():
            if found[name] is not None and (
                name in known or (name in asking and asking[name][0] in abilities)
            ):
                sent[name] = value
        sent["model"] = msgspec.Raw(served_name)
        if isinstance(request, ChatRequest):
            # Roles and parts of a text that templates do not know were put into words that they do.
            if request.messages != found["messages"]:
                sent["messages"] = request.messages
            if request.tools and "parallel_tool_calls" in found:
                sent["parallel_tool_calls"] = values.flag(found, "parallel_tool_calls")
        if getattr(request, "stream", False):
            sent["stream_options"] = WITH_USAGE
        return _write(sent)


def no_json(problem: Exception) -> ApiError:
    what = "it nests too deep" if isinstance(problem, RecursionError) else str(problem)
    return ApiError(f"We could not parse the JSON body of your request: {what}", code="invalid_json")
