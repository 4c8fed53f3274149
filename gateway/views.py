"""The OpenAI-compatible routes: a thin translator over `serving.services`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.models import Scope
from gateway import aliases
from gateway.endpoints import endpoint, error_response, new_request_id
from serving import selectors, services
from serving.backends.base import Delta, Target
from serving.protocol import ApiError, ChatRequest, model_not_found, parse_chat_request
from serving.shapes import AnswerShape

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024


@endpoint(method="GET", scope=Scope.READ)
async def list_models(request, user) -> HttpResponseBase:
    return JsonResponse({"object": "list", "data": await sync_to_async(_model_cards)(user)})


@endpoint(method="GET", scope=Scope.READ)
async def get_model(request, user, model_id: str) -> HttpResponseBase:
    for card in await sync_to_async(_model_cards)(user):
        if card["id"] == model_id:
            return JsonResponse(card)
    raise model_not_found(model_id)


@endpoint(method="POST", scope=Scope.CHAT)
async def create_chat_completion(request, user) -> HttpResponseBase:
    chat = parse_chat_request(_json_body(request))
    model_id = await sync_to_async(aliases.resolved)(user, chat.model)
    target = await services.resolve_model(user=user, model_id=model_id)
    headers = {"X-Apex-Lineage": "; ".join(f"{kind}={id_}" for kind, id_ in target.lineage.items())}
    if not chat.stream:
        return JsonResponse(await _whole_answer(target, chat), headers=headers)

    deltas = services.stream_answer(target=target, request=chat)
    # The first piece tells whether there will be an answer: until then a refusal is a plain status.
    first = await anext(deltas)
    return StreamingHttpResponse(
        _events(first, deltas, chat),
        content_type="text/event-stream; charset=utf-8",
        headers=headers | {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@csrf_exempt
async def unknown_route(request, path: str = "") -> HttpResponseBase:
    """Whatever else is asked for below /v1, so that a client reads an error object and not a page."""
    error = ApiError(f"Invalid URL ({request.method} {request.path})", status=404, code="unknown_url")
    response = error_response(error)
    response["x-request-id"] = new_request_id()
    return response


def _model_cards(user) -> list[dict]:
    bases = [_card(base.name, base.created_at, "apex") for base in selectors.base_models_for(user)]
    own = [
        _card(adapter.model_id, adapter.created_at, user.get_username())
        for adapter in selectors.adapters_for(user)
    ]
    known = {base["id"] for base in bases}
    others = [
        _card(alias.name, alias.created_at, user.get_username() if alias.owner_id else "apex")
        for alias in aliases.aliases_for(user)
        if alias.base_model.name in known
    ]
    return bases + own + others


def _card(model_id: str, created_at, owner: str) -> dict:
    return {"id": model_id, "object": "model", "created": int(created_at.timestamp()), "owned_by": owner}


def _json_body(request) -> object:
    # A body in chunks does not say its size.
    declared = int(request.headers.get("content-length") or 0)
    if declared > MAX_BODY_BYTES or len(request.body) > MAX_BODY_BYTES:
        raise ApiError(
            f"The request body is larger than {MAX_BODY_BYTES} bytes.", status=413, code="too_large"
        )
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"We could not parse the JSON body of your request: {error}") from error


async def _whole_answer(target: Target, chat: ChatRequest) -> dict:
    answer = await services.backend_for(target).chat(target, chat)
    return AnswerShape(chat.model).completion(answer.text, answer.finish_reason, answer.usage)


async def _events(first: Delta, deltas: AsyncIterator[Delta], chat: ChatRequest) -> AsyncIterator[bytes]:
    """Chunks as server-sent events; a client that leaves closes `deltas`, and with it the answer."""
    shape, with_usage = AnswerShape(chat.model), chat.include_usage
    async with aclosing(deltas):
        try:
            yield _event(shape.first_chunk(with_usage))
            delta: Delta | None = first
            while delta is not None:
                if delta.text:
                    yield _event(shape.text_chunk(delta.text, with_usage))
                if delta.finish_reason:
                    yield _event(shape.last_chunk(delta.finish_reason, with_usage))
                    if with_usage:
                        yield _event(shape.usage_chunk(delta.usage))
                delta = await anext(deltas, None)
        except ApiError as error:
            log.warning("an answer of %s broke off: %s", chat.model, error)
            yield _event(error.body())
        yield b"data: [DONE]\n\n"


def _event(body: dict) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
