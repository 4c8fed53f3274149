"""Which model answers to a name, as it was less than a second ago."""

from __future__ import annotations

import json
from dataclasses import dataclass

from asgiref.sync import sync_to_async

from accounts.models import User
from gateway import aliases
from gateway.auth import model_not_allowed
from gateway.hot.callers import Caller
from gateway.hot.database import as_a_request
from gateway.hot.fresh import Fresh
from gateway.hot.relay import Renaming
from ledger.money import TokenPrice
from ledger.prices import own_price
from serving import services
from serving.backends.base import Backend, Target
from serving.protocol import ApiError

SOFT_SECONDS, HARD_SECONDS = 0.5, 0.8


@dataclass(frozen=True, slots=True)
class Route:
    """What a name means for one user, ready to be used many times."""

    target: Target
    backend: Backend
    lineage: bytes
    served_name: bytes  # as JSON
    rename: Renaming
    price: TokenPrice | None


class Routes:
    def __init__(self) -> None:
        # A deployment that comes back from disk takes seconds, for which no other model shall wait.
        self._fresh: Fresh[tuple[int, str], Route] = Fresh(
            self._load, soft=SOFT_SECONDS, hard=HARD_SECONDS, one_by_one=True
        )
        self._users: dict[int, User] = {}

    async def to(self, caller: Caller, name: str) -> Route:
        """Raises ApiError: 404 for a model that is not there or not the caller's, 403 where the token may not."""
        key = (caller.user.pk, name)
        route = self._fresh.peek(key)
        if route is None:
            self._users[caller.user.pk] = caller.user
            route = await self._fresh.get(key)
        allowed = caller.models
        if allowed is not None and name not in allowed and route.target.model_id not in allowed:
            raise model_not_allowed(name)
        return route

    def drop(self, caller: Caller, name: str) -> None:
        """What was said there does not hold any more."""
        self._fresh.drop((caller.user.pk, name))

    async def _load(self, keys: list[tuple[int, str]]) -> dict[tuple[int, str], Route | Exception]:
        found: dict[tuple[int, str], Route | Exception] = {}
        for user_id, name in keys:
            try:
                found[user_id, name] = await as_a_request(_find, self._users[user_id], name)
            except ApiError as refusal:
                found[user_id, name] = refusal
        return found


async def _find(user: User, name: str) -> Route:
    model_id = await sync_to_async(aliases.resolved)(user, name)
    target = await services.resolve_model(user=user, model_id=model_id)
    return Route(
        target=target,
        backend=services.backend_for(target),
        lineage=lineage_told(target.lineage).encode(),
        served_name=json.dumps(target.loaded_name).encode(),
        rename=Renaming(target.loaded_name, name),
        price=await sync_to_async(own_price)(target.base_name),
    )


def lineage_told(lineage: dict[str, str]) -> str:
    """What `X-Apex-Lineage` says."""
    return "; ".join(f"{kind}={id_}" for kind, id_ in lineage.items())
