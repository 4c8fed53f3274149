"""`/v1/models`, and what is said to all that is none of our addresses. Asking a model itself is `gateway.hot`."""

from __future__ import annotations

import logging

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.models import Scope
from gateway import aliases
from gateway.asking import by_method
from gateway.auth import model_not_allowed
from gateway.endpoints import endpoint, error_response, new_request_id
from minions.models import Minion
from serving import selectors
from serving.protocol import ApiError, is_unicode, model_not_found
from training.kept_checkpoints import delete_adapter
from training.services import DeleteRefused

log = logging.getLogger(__name__)
LONGEST_SHOWN = 200  # of an address that is none


@endpoint(method="GET", scope=Scope.READ)
async def list_models(request, user) -> HttpResponseBase:
    cards = await sync_to_async(_model_cards)(user)
    allowed = request.api_token.may_ask
    return JsonResponse({"object": "list", "data": [card for card in cards if allowed(card["id"])]})


@endpoint(method="GET", scope=Scope.READ)
async def get_model(request, user, model_id: str) -> HttpResponseBase:
    _check_allowed(request, model_id)
    for card in await sync_to_async(_model_cards)(user):
        if card["id"] == model_id:
            return JsonResponse(card)
    raise model_not_found(model_id)


@endpoint(method="DELETE", scope=Scope.WRITE)
async def delete_model(request, user, model_id: str) -> HttpResponseBase:
    """One's own adapter, where it may go: what a training left at its end goes with the training."""
    _check_allowed(request, model_id)
    await sync_to_async(_delete)(user, model_id)
    return JsonResponse({"id": model_id, "object": "model", "deleted": True})


model = by_method(GET=get_model, DELETE=delete_model)


@csrf_exempt
async def only_post(request) -> HttpResponseBase:
    """The addresses of the hot path, which has every POST there before Django sees it."""
    error = ApiError(
        f"Not allowed to {request.method} on {request.path} (HINT: Perhaps you meant to POST?)",
        status=405, code="method_not_supported",
    )  # fmt: skip
    return _plain_error(error)


@csrf_exempt
async def unknown_route(request, path: str = "") -> HttpResponseBase:
    """Whatever else is asked for below /v1, so that a client reads an error object and not a page."""
    return _plain_error(
        ApiError(
            f"Invalid URL ({request.method} {request.path[:LONGEST_SHOWN]})", status=404, code="unknown_url"
        )
    )


def _plain_error(error: ApiError) -> HttpResponseBase:
    response = error_response(error)
    response["x-request-id"] = new_request_id()
    return response


def _check_allowed(request, model_id: str) -> None:
    if not request.api_token.may_ask(model_id):
        raise model_not_allowed(model_id)


def _delete(user, model_id: str) -> None:
    # A database answers neither with "not found" but with an exception.
    if "\x00" in model_id or not is_unicode(model_id):
        raise model_not_found(model_id)
    if selectors.base_models_for(user).filter(name=model_id).exists():
        raise ApiError(
            "You have insufficient permissions for this operation: base models are the house's.",
            status=403, param="model", code="not_your_model",
        )  # fmt: skip
    adapter = selectors.adapters_for(user).filter(model_id=model_id).first()
    if adapter is None:
        raise model_not_found(model_id)
    try:
        delete_adapter(adapter=adapter)
    except DeleteRefused as problem:
        raise ApiError(str(problem), status=409, param="model", code="model_in_use") from problem


def _model_cards(user) -> list[dict]:
    bases = [_card(base.name, base.created_at, "apex") for base in selectors.base_models_for(user)]
    own = [
        _card(adapter.model_id, adapter.created_at, user.get_username())
        for adapter in selectors.adapters_for(user)
    ]
    own += [_card(name, at, user.get_username()) for name, at in selectors.assistants_of(user).items()]
    known = {base["id"] for base in bases}
    others = [
        _card(alias.name, alias.created_at, user.get_username() if alias.owner_id else "apex")
        for alias in aliases.aliases_for(user)
        if alias.base_model.name in known
    ]
    minions = [
        _card(minion.name, minion.created_at, user.get_username()) for minion in Minion.objects.for_user(user)
    ]
    taken = {card["id"] for card in bases + own + others}
    return bases + own + others + [card for card in minions if card["id"] not in taken]


def _card(model_id: str, created_at, owner: str) -> dict:
    return {"id": model_id, "object": "model", "created": int(created_at.timestamp()), "owned_by": owner}
