"""How many questions a minion takes in a minute, from everywhere together, and how many a token asks minions by the
API: counted in the cache that all share."""

from __future__ import annotations

import asyncio
import logging
import time

from django.core.cache import cache
from django.utils.translation import gettext as _
from redis import RedisError

from accounts.models import ApiToken
from apex.common.refusals import ApiError
from minions.models import Minion

logger = logging.getLogger(__name__)

MINUTE = 60


class TooManyQuestions(ApiError):
    """Its minute is used up; `retry_after` seconds are left of it."""

    def __init__(self, limit: int, retry_after: int, *, of_token: bool = False):
        words = (
            _("The limit of this token is %(limit)d a minute. Ask again in %(left)d s.")
            if of_token
            else _("This minion takes %(limit)d questions a minute. Ask again in %(left)d s.")
        )
        super().__init__(
            words % {"limit": limit, "left": retry_after},
            status=429, kind="requests", code="rate_limit_exceeded",
        )  # fmt: skip
        self.retry_after = retry_after


async def take(minion: Minion) -> None:
    """Counts one question. Raises TooManyQuestions; a cache that is away stops nobody."""
    await _take(f"minions:asked:{minion.pk}", minion.requests_per_minute)


async def take_token(token: ApiToken) -> None:
    """The same for a token by which minions are asked at the API; below `/v1` the gateway counts."""
    await _take(f"minions:token:{token.public_id}", token.requests_per_minute or 0, of_token=True)


async def _take(what: str, limit: int, *, of_token: bool = False) -> None:
    if not limit:
        return
    minute, passed = divmod(int(time.time()), MINUTE)
    key = f"{what}:{minute}"
    try:
        count = await asyncio.to_thread(_count, key)
    except (RedisError, OSError, ValueError) as problem:  # ValueError: the key went between the two
        logger.warning("questions are not counted (%s): %s", what, problem)
        return
    if count > limit:
        raise TooManyQuestions(limit, MINUTE - passed, of_token=of_token)


def _count(key: str) -> int:
    cache.add(key, 0, 2 * MINUTE)
    return cache.incr(key)
