"""What every API call shares: tokens with scopes, and pages. Errors are in `apex.common.api_errors`."""

from knox.auth import TokenAuthentication
from rest_framework import exceptions, pagination, permissions


class ScopedTokenAuthentication(TokenAuthentication):
    """`Authorization: Bearer apex_…`; `request.auth` is the `ApiToken`, with its scopes and its last use noted."""

    def authenticate_credentials(self, token: bytes):
        try:
            user, api_token = super().authenticate_credentials(token)
        except UnicodeDecodeError as problem:
            raise exceptions.AuthenticationFailed("Invalid token.") from problem
        api_token.note_use()
        return user, api_token


class TokenHasScope(permissions.BasePermission):
    """A token may read with scope `read` and change with scope `write`; a session may do both."""

    message = "This token lacks the scope that the call needs: read for GET, write for the rest."

    def has_permission(self, request, view) -> bool:
        token = request.auth
        if token is None:
            return True
        needed = "read" if request.method in permissions.SAFE_METHODS else "write"
        return token.has_scope(needed)


class Pagination(pagination.PageNumberPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
