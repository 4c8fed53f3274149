"""Who calls: `Authorization: Bearer apex_…`, with a scope for what is asked. Sessions do not count here."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from rest_framework.exceptions import AuthenticationFailed

from accounts.models import User
from apex.common.api import ScopedTokenAuthentication
from serving.protocol import ApiError


async def authenticate(request, scope: str) -> User:
    """The token's user; raises ApiError 401 without a good token and 403 when it lacks `scope`."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise _unauthorized(
            "You didn't provide an API key. Provide it in an Authorization header using Bearer auth "
            "(i.e. Authorization: Bearer YOUR_KEY)."
        )
    try:
        user, api_token = await sync_to_async(ScopedTokenAuthentication().authenticate_credentials)(
            token.encode()
        )
    except AuthenticationFailed as error:
        raise _unauthorized(f"Incorrect API key provided: {_masked(token)}.") from error
    if not api_token.has_scope(scope):
        raise ApiError(
            f"You have insufficient permissions for this operation. Missing scopes: {scope}.",
            status=403, code="missing_scope",
        )  # fmt: skip
    return user


def _unauthorized(message: str) -> ApiError:
    return ApiError(message, status=401, code="invalid_api_key")


def _masked(token: str) -> str:
    """Enough to tell one's tokens apart, too little to use one."""
    return f"{token[:8]}***" if len(token) > 16 else "***"
