"""Whether an outside model is well: seen by every process, kept in the cache (docs/decisions/0141).

A link that failed `TRIES` times in a row is left alone for a while, which doubles each time; then one question at a
time tries it again. All processes share what they see, and no two owners: a bad key of one says nothing to another.

The cache is asked in a thread of its own: Django's async methods share one among all requests of a process.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.core.cache import cache
from redis import RedisError

from minions.choosing import WELL, Health
from minions.recipes import Link

logger = logging.getLogger(__name__)

TRIES = 3
FIRST_REST, LONGEST_REST = 15.0, 300.0  # seconds
TRIAL_SECONDS = 30  # so long one trial keeps others from trying too
KEPT_SECONDS = 3600
# A new figure counts for so much, what was seen before for the rest.
NEWEST = 0.3
# What says something of the model or its key; what the question itself is at fault for says nothing.
ILL = frozenset({"overload", "network", "rate", "quota", "auth"})


def key_of(owner: str, health_key: str) -> str:
    """A key that any cache takes, whatever the model is called."""
    return f"minions:health:{hashlib.sha256(f'{owner}:{health_key}'.encode()).hexdigest()[:32]}"


async def healths(
    owner: str, links: Sequence[Link], clock: Callable[[], float] = time.time
) -> dict[str, Health]:
    """By `Link.health_key`; one round trip for all. A cache that is away leaves all of them well."""
    seen: dict[str, Health] = {}
    for health_key, stored in (await asyncio.to_thread(_stored, owner, links)).items():
        open_for = max(0.0, stored["open_until"] - clock())
        is_trial = False
        if stored["failures"] >= TRIES and not open_for:
            is_trial = await _may_try(key_of(owner, health_key))
            open_for = 0.0 if is_trial else 1.0
        seen[health_key] = Health(open_for, is_trial, stored["first_seconds"])
    return seen


def look(owner: str, links: Sequence[Link], clock: Callable[[], float] = time.time) -> list[Health]:
    """How each link is, for a page. Unlike a question's look it is nobody's trial."""
    found = _stored(owner, links)
    return [
        Health(max(0.0, stored["open_until"] - clock()), False, stored["first_seconds"])
        if (stored := found.get(link.health_key))
        else WELL
        for link in links
    ]


def _stored(owner: str, links: Sequence[Link]) -> dict[str, dict[str, Any]]:
    """By `Link.health_key`, in one round trip; nothing where the cache is away."""
    wanted = {key_of(owner, link.health_key): link.health_key for link in links}
    try:
        return {wanted[key]: stored for key, stored in cache.get_many(list(wanted)).items()}
    except (RedisError, OSError) as problem:
        logger.warning("the health of outside models cannot be read: %s", problem)
        return {}


async def _may_try(key: str) -> bool:
    return await asyncio.to_thread(cache.add, f"{key}:trial", 1, TRIAL_SECONDS)


async def note_failure(owner: str, link: Link, kind: str, clock: Callable[[], float] = time.time) -> None:
    """It failed in this way; what the question is at fault for is not counted."""
    if kind in ILL:
        await _change(owner, link, lambda stored: _failed(stored, clock()))


async def note_answer(owner: str, link: Link, first_seconds: float) -> None:
    """It answered, its first words after so many seconds."""
    await _change(owner, link, lambda stored: _answered(stored, first_seconds))


def _failed(stored: dict[str, Any], now: float) -> dict[str, Any]:
    failures = stored["failures"] + 1
    rest = min(LONGEST_REST, FIRST_REST * 2 ** max(0, failures - TRIES)) if failures >= TRIES else 0.0
    return stored | {"failures": failures, "open_until": now + rest if rest else 0.0}


def _answered(stored: dict[str, Any], first_seconds: float) -> dict[str, Any]:
    before = stored["first_seconds"]
    seen = first_seconds if before is None else before + NEWEST * (first_seconds - before)
    return {"failures": 0, "open_until": 0.0, "first_seconds": round(seen, 3)}


async def _change(owner: str, link: Link, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Two processes may write at once, and one count is lost then: the next failure makes up for it."""
    key = key_of(owner, link.health_key)
    try:
        await asyncio.to_thread(_write, key, change)
    except (RedisError, OSError) as problem:
        logger.warning("the health of %s cannot be written down: %s", link.name, problem)


def _write(key: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    stored = cache.get(key) or {"failures": 0, "open_until": 0.0, "first_seconds": None}
    cache.set(key, change(stored), KEPT_SECONDS)
    cache.delete(f"{key}:trial")


__all__ = ["WELL", "healths", "look", "note_answer", "note_failure"]
