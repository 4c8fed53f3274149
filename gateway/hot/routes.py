"""Which model answers to a name, as it was less than a second ago."""

from __future__ import annotations

import json
from dataclasses import dataclass

from asgiref.sync import sync_to_async

from accounts.models import User
from apex.common.async_database import as_a_request
from gateway import aliases
from gateway.auth import model_not_allowed
from gateway.hot.callers import Caller
from gateway.hot.fresh import Fresh
from gateway.hot.minions import MinionRoute
from gateway.hot.relay import Renaming
from ledger.money import TokenPrice
from ledger.prices import own_price
from minions.selectors import minion_called
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
        self._fresh: Fresh[tuple[int, str], Route | MinionRoute] = Fresh(
            self._load, soft=SOFT_SECONDS, hard=HARD_SECONDS, one_by_one=True
        )
        self._users: dict[int, User] = {}

    async def to(self, caller: Caller, name: str) -> Route | MinionRoute:
        """Raises ApiError: 404 for a model that is not there or not the caller's, 403 where the token may not."""
        if caller.minion_id is not None:
            return _own_minion(caller, name)
        key = (caller.user.pk, name)
        route = self._fresh.peek(key)
        if route is None:
            self._users[caller.user.pk] = caller.user
            route = await self._fresh.get(key)
        allowed = caller.models
        if allowed is not None and not allowed & _names(route, name):
            raise model_not_allowed(name)
        return route

    def drop(self, caller: Caller, name: str) -> None:
        """What was said there does not hold any more."""
        self._fresh.drop((caller.user.pk, name))

    async def _load(
        self, keys: list[tuple[int, str]]
    ) -> dict[tuple[int, str], Route | MinionRoute | Exception]:
        found: dict[tuple[int, str], Route | MinionRoute | Exception] = {}
        for user_id, name in keys:
            try:
                found[user_id, name] = await as_a_request(_find, self._users[user_id], name)
            except ApiError as refusal:
                found[user_id, name] = refusal
        return found


def _names(route: Route | MinionRoute, asked: str) -> set[str]:
    """What a token's list of models may call it."""
    known = {str(route.minion_id), route.name} if isinstance(route, MinionRoute) else {route.target.model_id}
    return known | {asked}


def _own_minion(caller: Caller, name: str) -> MinionRoute:
    """For a minion's own token, which opens that minion by its name or id. Raises ApiError."""
    assert caller.minion_id is not None
    if name not in (caller.minion_name, str(caller.minion_id)):
        raise model_not_allowed(name)
    return MinionRoute(caller.minion_id, caller.minion_name)


async def _find(user: User, name: str) -> Route | MinionRoute:
    """A model of this name, else a minion of the user's."""
    model_id = await sync_to_async(aliases.resolved)(user, name)
    try:
        target = await services.resolve_model(user=user, model_id=model_id)
    except ApiError as problem:
        if problem.code != "model_not_found":
            raise
        minion = None if "\x00" in name else await sync_to_async(minion_called)(user, name)
        if minion is None:
            raise
        return MinionRoute(minion.pk, minion.name)
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
