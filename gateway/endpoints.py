"""What all routes below /v1 share: methods, tokens, limits, OpenAI's error envelope and `x-request-id`."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import wraps

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from apex.common.rates import TooMany
from gateway.auth import authenticate
from ledger.calls import take_call
from serving.protocol import ApiError

log = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[HttpResponseBase]]


def endpoint(*, method: str, scope: str) -> Callable[[Handler], Handler]:
    """Makes an async `handler(request, user, …)` a view; whatever it raises becomes an error object."""

    def wrap(handler: Handler) -> Handler:
        # No cookie is ever read here, so there is nothing that a forged form could use.
        @csrf_exempt
        @wraps(handler)
        async def view(request, **kwargs):
            request_id, limits = new_request_id(), {}
            try:
                if request.method != method:
                    raise _wrong_method(request, method)
                user = await authenticate(request, scope)
                limits = await sync_to_async(take_call)(user, request.api_token)
                response = await handler(request, user, **kwargs)
            except ApiError as error:
                response = error_response(error)
            except Exception:
                log.exception("%s %s (%s) broke", request.method, request.path, request_id)
                response = error_response(
                    ApiError(
                        f"The server had an error while processing your request (request {request_id}).",
                        status=500, kind="server_error",
                    )
                )  # fmt: skip
            for name, value in limits.items():
                response[name] = value
            response["x-request-id"] = request_id
            return response

        return view

    return wrap


def new_request_id() -> str:
    """For `x-request-id`, which clients keep with each answer and people name when they ask what went wrong."""
    return f"req_{secrets.token_hex(16)}"


def error_response(error: ApiError) -> JsonResponse:
    response = JsonResponse(error.body(), status=error.status)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if error.code == "insufficient_quota":
        response["x-should-retry"] = "false"  # OpenAI's clients would ask again at once
    elif isinstance(error, TooMany):
        for name, value in error.headers.items():
            response[name] = value
    elif error.status in (429, 503):
        response["retry-after"] = "2"
    return response


def _wrong_method(request, method: str) -> ApiError:
    return ApiError(
        f"Not allowed to {request.method} on {request.path} (HINT: Perhaps you meant to {method}?)",
        status=405, code="method_not_supported",
    )  # fmt: skip
