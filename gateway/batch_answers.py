"""One question of a batch, answered as its endpoint would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async

from gateway import aliases
from gateway.auth import model_not_allowed
from serving import services
from serving.backends.base import AnswerBroke, Backend, BackendUnavailable, Target
from serving.protocol import (
    ApiError,
    ChatRequest,
    parse_chat_request,
    parse_completion_request,
    parse_embedding_request,
)
from serving.protocol.values import model_name
from serving.shapes import AnswerShape

PARSERS = {
    "/v1/chat/completions": parse_chat_request,
    "/v1/completions": parse_completion_request,
    "/v1/embeddings": parse_embedding_request,
}
PLAIN = ChatRequest(model="", messages=[])
BEYOND_PLAIN = ("n", "top_logprobs", "logit_bias", "tools", "tool_choice", "response_format")


class Later(Exception):
    """What should answer cannot just now; asking again later may help."""


async def answer(
    *, user, endpoint: str, body: dict[str, Any], model_names: Sequence[str] = ()
) -> dict[str, Any]:
    """The body of the answer. Raises ApiError where it is refused, `Later` where nobody could answer yet.

    `model_names`: those that may be asked; none named: all that the user may.
    """
    asked = model_name(body)
    try:
        target = await services.resolve_model(
            user=user, model_id=await sync_to_async(aliases.resolved)(user, asked)
        )
        if model_names and asked not in model_names and target.model_id not in model_names:
            raise model_not_allowed(asked)
        backend = services.backend_for(target)
        request = PARSERS[endpoint](body, backend.abilities)
        if getattr(request, "stream", False):
            raise ApiError(
                "A batch answers in a file, so `stream` cannot be true.", param="stream", code="invalid_value"
            )
        if isinstance(request, ChatRequest) and is_plain(request):
            said = await backend.chat(target, request)
            return AnswerShape(asked).completion(said.text, said.finish_reason, said.usage)
        return await passed_on(backend, target, endpoint, request, asked)
    except (BackendUnavailable, AnswerBroke) as problem:
        raise Later(problem.message) from problem
    except ApiError as problem:
        if problem.status in (429, 503):
            raise Later(problem.message) from problem
        raise


def is_plain(request: ChatRequest) -> bool:
    """Whether it asks for one answer in words and nothing beside."""
    return all(getattr(request, name) == getattr(PLAIN, name) for name in BEYOND_PLAIN)


async def passed_on(backend: Backend, target: Target, endpoint: str, request, asked: str) -> dict[str, Any]:
    await backend.ensure_loaded(target)
    reply = await backend.forward(endpoint, request.as_body(model=target.loaded_name))
    return json.loads(await reply.read()) | {"model": asked}
