"""Who calls: `Authorization: Bearer apex_…`, with a scope for what is asked. Sessions do not count here."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from rest_framework.exceptions import AuthenticationFailed

from accounts.models import User
from apex.common.api import ScopedTokenAuthentication
from serving.protocol import ApiError


async def authenticate(request, scope: str) -> User:
    """The token's user; raises ApiError 401 without a good token and 403 when it lacks `scope`.

    `request.api_token` is the token afterwards.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise missing_key()
    try:
        user, api_token = await sync_to_async(ScopedTokenAuthentication().authenticate_credentials)(
            token.encode()
        )
    except AuthenticationFailed as error:
        raise incorrect_key(token) from error
    if not api_token.has_scope(scope):
        raise missing_scope(scope)
    request.api_token = api_token
    return user


def missing_key() -> ApiError:
    return _unauthorized(
        "You didn't provide an API key. Provide it in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY)."
    )


def incorrect_key(token: str) -> ApiError:
    return _unauthorized(f"Incorrect API key provided: {_masked(token)}.")


def missing_scope(scope: str) -> ApiError:
    return ApiError(
        f"You have insufficient permissions for this operation. Missing scopes: {scope}.",
        status=403, code="missing_scope",
    )  # fmt: skip


def model_not_allowed(name: str) -> ApiError:
    """For a token that was made for other models of its user."""
    return ApiError(
        f"This API key may not use the model `{name[:200]}`; GET /v1/models lists those that it may.",
        status=403, param="model", code="model_not_allowed",
    )  # fmt: skip


def _unauthorized(message: str) -> ApiError:
    return ApiError(message, status=401, code="invalid_api_key")


def _masked(token: str) -> str:
    """Enough to tell one's tokens apart, too little to use one."""
    return f"{token[:8]}***" if len(token) > 16 else "***"
