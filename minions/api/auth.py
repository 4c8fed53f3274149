"""A minion's own token opens its minion's routes, and nothing else of the API."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions, permissions

from accounts.models import Scope
from apex.common.api import ScopedTokenAuthentication
from minions.models import MinionToken
from minions.services import TOKEN_PREFIX, token_of

# What a program that holds the minion's token may do: ask it and read about it, not change it.
FOR_ITS_TOKEN = frozenset({"retrieve", "chat", "stats", "experience"})


class MinionTokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer minion_…`; `request.auth` is the `MinionToken`, the user its minion's owner."""

    def authenticate(self, request):
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text.strip().startswith(TOKEN_PREFIX):
            return None
        token = token_of(text.strip())
        if token is None:
            raise exceptions.AuthenticationFailed("Invalid token.")
        return token.minion.owner, token

    def authenticate_header(self, request):
        return "Bearer"


class MayUseMinion(permissions.BasePermission):
    """A user's token needs the scope: read, write, or chat to ask. A minion's token opens its own minion only."""

    message = "This token lacks the scope that the call needs: read for GET, chat to ask, write for the rest."

    def has_permission(self, request, view) -> bool:
        token = request.auth
        if token is None:
            return True
        if isinstance(token, MinionToken):
            return view.action in FOR_ITS_TOKEN
        if view.action == "chat":
            return token.has_scope(Scope.CHAT)
        needed = Scope.READ if request.method in permissions.SAFE_METHODS else Scope.WRITE
        return token.has_scope(needed)


class MinionTokenScheme(OpenApiAuthenticationExtension):
    target_class = "minions.api.auth.MinionTokenAuthentication"
    name = "MinionToken"

    def get_security_definition(self, auto_schema):
        return {"type": "http", "scheme": "bearer", "bearerFormat": "minion_…"}


AUTHENTICATION = [MinionTokenAuthentication, ScopedTokenAuthentication, authentication.SessionAuthentication]
