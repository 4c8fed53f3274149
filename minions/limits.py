"""How many questions a minion takes in a minute, from everywhere together: counted in the cache that all share."""

from __future__ import annotations

import asyncio
import logging
import time

from django.core.cache import cache
from django.utils.translation import gettext as _
from redis import RedisError

from apex.common.refusals import ApiError
from minions.models import Minion

logger = logging.getLogger(__name__)

MINUTE = 60


class TooManyQuestions(ApiError):
    """Its minute is used up; `retry_after` seconds are left of it."""

    def __init__(self, limit: int, retry_after: int):
        super().__init__(
            _("This minion takes %(limit)d questions a minute. Ask again in %(left)d s.")
            % {"limit": limit, "left": retry_after},
            status=429, kind="requests", code="rate_limit_exceeded",
        )  # fmt: skip
        self.retry_after = retry_after


async def take(minion: Minion) -> None:
    """Counts one question. Raises TooManyQuestions; a cache that is away stops nobody."""
    limit = minion.requests_per_minute
    if not limit:
        return
    minute, passed = divmod(int(time.time()), MINUTE)
    key = f"minions:asked:{minion.pk}:{minute}"
    try:
        count = await asyncio.to_thread(_count, key)
    except (RedisError, OSError, ValueError) as problem:  # ValueError: the key went between the two
        logger.warning("questions to %s are not counted: %s", minion.pk, problem)
        return
    if count > limit:
        raise TooManyQuestions(limit, MINUTE - passed)


def _count(key: str) -> int:
    cache.add(key, 0, 2 * MINUTE)
    return cache.incr(key)
