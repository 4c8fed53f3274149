"""How often something is done in a minute of the clock, counted in the cache that all processes share; and the refusal
that says when there is room again."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from redis import RedisError

from apex.common.refusals import ApiError

logger = logging.getLogger(__name__)

MINUTE = 60
# A cache that did not answer is left alone for so long by this process: nobody shall wait for it at each call.
REST_SECONDS = 5.0


class TooMany(ApiError):
    """429, with the seconds after which there is room again. `what` is counted: requests, or tokens."""

    def __init__(self, what: str, limit: int, used: int, seconds: float):
        super().__init__(
            f"Rate limit reached for {what} per minute: limit {limit}, used {used}. "
            f"Please try again in {duration(seconds)}.",
            status=429, kind=what, code="rate_limit_exceeded",
        )  # fmt: skip
        self.limit = limit
        self.retry_after = max(1, math.ceil(seconds))
        self.headers = {"retry-after": str(self.retry_after)} | told(what, limit, used, seconds)


def told(what: str, limit: int, used: int, seconds: float) -> dict[str, str]:
    """OpenAI's headers for a limit of which so much is used, and which begins anew in so many seconds."""
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(max(0, limit - used)),
        f"x-ratelimit-reset-{what}": duration(seconds),
    }


def duration(seconds: float) -> str:
    """As OpenAI writes one: `120ms`, `6.5s`, `1m0s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < MINUTE:
        return f"{seconds:.3g}s"
    return f"{int(seconds // MINUTE)}m{int(seconds % MINUTE)}s"


@dataclass(frozen=True)
class Count:
    """How often in this minute, this time included, and the seconds that are left of it."""

    used: int
    left: float


class Rest:
    """Until when, by the monotonic clock, the cache is left alone."""

    until = 0.0


def count(what: str) -> Count | None:
    """Once more. None: the cache is away, and stops nobody."""
    now = time.time()
    minute, passed = divmod(now, MINUTE)
    if time.monotonic() < Rest.until:
        return None
    key = f"rates:{what}:{int(minute)}"
    try:
        used = counted(key)
    except (RedisError, OSError, ValueError) as problem:  # ValueError: the key went between the two
        logger.warning("not counted in this minute: %s (%s)", what, problem)
        if not isinstance(problem, ValueError):
            Rest.until = time.monotonic() + REST_SECONDS
        return None
    return Count(used, MINUTE - passed)


class Kept:
    """The one client of this process, whose connections all threads share. `caches[…]` makes one for each request
    where requests have contexts of their own, as in ASGI, and so connects anew for each."""

    cache: BaseCache | None = None
    made_of: dict | None = None


def kept_cache() -> BaseCache:
    wanted = settings.CACHES["counts"]
    if Kept.cache is None or Kept.made_of is not wanted:
        Kept.cache, Kept.made_of = caches.create_connection("counts"), wanted
    return Kept.cache


def counted(key: str) -> int:
    cache = kept_cache()
    try:
        return cache.incr(key)
    except ValueError:  # the first in this minute, or one of several that are
        cache.add(key, 0, 2 * MINUTE)
        return cache.incr(key)
