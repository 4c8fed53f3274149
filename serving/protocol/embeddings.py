"""A request for the vectors of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.protocol import values
from serving.protocol.abilities import Ability, needed, refuse_what_is_not_done
from serving.protocol.errors import ApiError

KNOWN = frozenset({"model", "input", "dimensions", "encoding_format"})
HINTS = frozenset({"user"})
MOST_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A checked request. `inputs` are all texts or all token ids."""

    model: str
    inputs: list[str] | list[list[int]]
    dimensions: int | None = None
    encoding_format: str = "float"


def parse_embedding_request(body: Any, abilities: frozenset[Ability]) -> EmbeddingRequest:
    """As `parse_chat_request`, for `/v1/embeddings`."""
    body = values.as_object(body)
    model = values.model_name(body)
    needed(Ability.EMBEDDINGS, abilities, "/v1/embeddings", model)
    refuse_what_is_not_done(body, known=KNOWN, hints=HINTS, asking={}, abilities=abilities)

    inputs = values.texts_or_tokens(values.required(body, "input"), "input", MOST_INPUTS)
    if isinstance(inputs[0], list) and Ability.TOKEN_PROMPTS not in abilities:
        raise ApiError(
            f"The model `{model[:80]}` takes texts here, not token ids.",
            param="input",
            code="unsupported_parameter",
        )
    for index, one in enumerate(inputs):
        if not one:
            where = f"input[{index}]" if isinstance(body["input"], list) else "input"
            raise ApiError(f"`{where}` is empty.", param=where, code="invalid_value")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise ApiError(
            f"`encoding_format` must be float or base64, got {values.short(encoding)}.",
            param="encoding_format", code="invalid_value",
        )  # fmt: skip
    return EmbeddingRequest(model, inputs, values.integer(body, "dimensions", 1, None), encoding)
