"""What every API call shares: tokens with scopes, bodies, and pages. Errors are in `apex.common.api_errors`."""

import json

from django.db import models
from django_filters import rest_framework as filters
from knox.auth import TokenAuthentication
from rest_framework import exceptions, pagination, parsers, permissions

from apex.common.acting import note_token

# Of an id in a path: what cannot be one is no address at all.
UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class JSONParser(parsers.JSONParser):
    """DRF's, which also answers 400 to what nests too deep to be read and to text that is not Unicode."""

    def parse(self, stream, media_type=None, parser_context=None):
        try:
            found = super().parse(stream, media_type, parser_context)
            # JSON can escape one half of a surrogate pair; neither the database nor an answer could hold it.
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError as problem:
            raise exceptions.ParseError("JSON parse error - it nests too deep.") from problem
        except UnicodeEncodeError as problem:
            half = problem.object[problem.start]
            raise exceptions.ParseError(
                f"JSON parse error - {ascii(half)} is half of a surrogate pair, no character."
            ) from problem
        return found


class ScopedTokenAuthentication(TokenAuthentication):
    """`Authorization: Bearer apex_…`; `request.auth` is the `ApiToken`, with its scopes and its last use noted."""

    def authenticate_credentials(self, token: bytes):
        try:
            user, api_token = super().authenticate_credentials(token)
        except UnicodeDecodeError as problem:
            raise exceptions.AuthenticationFailed("Invalid token.") from problem
        note_token(user, api_token.public_id)
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


class RowFilters(filters.FilterSet):
    """What a row belongs to is looked for by id alone: whether somebody else has such a thing is not said."""

    class Meta:
        filter_overrides = {models.ForeignKey: {"filter_class": filters.UUIDFilter}}


class FilterBackend(filters.DjangoFilterBackend):
    filterset_base = RowFilters


class Pagination(pagination.PageNumberPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
