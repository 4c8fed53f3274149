"""Asking again where that may help: how often, after which pause, and never once an answer has begun."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from providers.base import Patience, Piece, ProviderFailed

Found = TypeVar("Found")
# Whether a refusal taught us something, so that asking at once in another way may help.
Learn = Callable[[ProviderFailed], bool]


def wait_before(tries: int, problem: ProviderFailed, patience: Patience) -> float | None:
    """Seconds until the next try, after `tries` of them; None where another is of no use.

    What the provider asks for, and a little more so that not all come back at once; else twice as long each time,
    anything from half of it on.
    """
    if not problem.may_retry or tries >= patience.tries:
        return None
    if problem.retry_after is not None:
        wait = problem.retry_after * random.uniform(1.0, 1.1)
        return wait if problem.retry_after <= patience.longest_wait else None
    longest = min(patience.first_wait * 2 ** (tries - 1), patience.longest_wait)
    return random.uniform(longest / 2, longest)


async def trying(patience: Patience, ask: Callable[[], Awaitable[Found]], learn: Learn) -> Found:
    """What `ask` gives, tried again where that may help."""
    deadline = asyncio.get_running_loop().time() + patience.total
    tries = 0
    while True:
        try:
            return await ask()
        except ProviderFailed as problem:
            if learn(problem):
                continue
            tries += 1
            await pause(tries, problem, patience, deadline)


async def trying_stream(
    patience: Patience, ask: Callable[[], AsyncGenerator[Piece, None]], learn: Learn
) -> AsyncGenerator[Piece, None]:
    """The pieces that `ask` gives; tried again only while there was none."""
    deadline = asyncio.get_running_loop().time() + patience.total
    tries = 0
    while True:
        has_begun = False
        try:
            async with aclosing(ask()) as pieces:
                async for piece in pieces:
                    has_begun = True
                    yield piece
            return
        except ProviderFailed as problem:
            problem.has_begun = has_begun
            if has_begun:
                raise
            if learn(problem):
                continue
            tries += 1
            await pause(tries, problem, patience, deadline)


async def pause(tries: int, problem: ProviderFailed, patience: Patience, deadline: float) -> None:
    """Waits until the next try; raises `problem` where there is none."""
    wait = wait_before(tries, problem, patience)
    if wait is None or asyncio.get_running_loop().time() + wait > deadline:
        raise problem
    await asyncio.sleep(wait)
