"""One outside model of a chain, asked until its first words have come."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _

from minions.choosing import Decision
from minions.recipes import Link
from providers.base import Call, Failure, Piece, Provider, ProviderFailed

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0  # seconds between tries
LONGEST_FIRST_SECONDS = 120.0
AGAIN = frozenset({"rate", "overload", "network"})
OpenProvider = Callable[[Link], Awaitable[Provider]]


@dataclass(slots=True)
class Trial:
    """One link under way: `rest` is what comes after its first words. Times are those of `time.perf_counter`."""

    index: int
    link: Link
    decision: Decision
    asked: float
    begun: float = 0.0
    is_billed: bool = False  # although nothing of it was used
    rest: AsyncIterator[Piece] | None = None

    async def begin(
        self,
        call: Call,
        open_provider: OpenProvider,
        *,
        thinks: Callable[[Trial, str], None],
        tried: Callable[[Trial, ProviderFailed], None],
        in_vain: Callable[[Trial], None],
        is_whole: bool,
    ) -> list[Piece]:
        """The pieces up to the first words (with `is_whole`: all), after as many tries as the link allows.

        `thinks` is told what it says to itself before, `tried` of each try that is followed by another one, `in_vain`
        of one that we hang up on because no word came. Raises ProviderFailed of the last.
        """
        link = self.link

        def note_thought(text: str) -> None:
            patience.reschedule(None)  # it is there and at work, however long that takes
            thinks(self, text)

        provider = await open_provider(link)
        for attempt in range(link.retries + 1):
            self.begun = time.perf_counter()
            self.rest = provider.stream(replace(call, model=link.model))
            limit = link.first_seconds or LONGEST_FIRST_SECONDS
            try:
                async with asyncio.timeout(limit) as patience:
                    return await until_words(self.rest, is_whole, note_thought)
            except TimeoutError:
                in_vain(self)
                await self.close()
                raise ProviderFailed(
                    _("no word came within %(seconds).1f s") % {"seconds": limit}, kind=Failure.NETWORK
                ) from None
            except ProviderFailed as problem:
                await self.close()
                if problem.kind not in AGAIN or attempt == link.retries:
                    raise
                tried(self, problem)
                await asyncio.sleep(pause(attempt, problem.retry_after))
        raise AssertionError("unreachable: the last try returns or raises")

    async def close(self) -> None:
        if self.rest is not None:
            rest, self.rest = self.rest, None
            with suppress(ProviderFailed):  # it is not asked for anything any more
                await rest.aclose()  # type: ignore[attr-defined]


async def until_words(
    pieces: AsyncIterator[Piece], is_whole: bool, note_thought: Callable[[str], None]
) -> list[Piece]:
    """Up to the first piece that says something. Raises ProviderFailed for an answer that ends before.

    `note_thought` is told at once what it thinks; the pieces hold that too.
    """
    read: list[Piece] = []
    async for piece in pieces:
        read.append(piece)
        if piece.thought:
            note_thought(piece.thought)
        if not is_whole and (piece.text or piece.tool_calls or piece.finish_reason):
            return read
    if is_whole and any(piece.finish_reason for piece in read):
        return read
    raise ProviderFailed(_("the answer ended without saying why"), kind=Failure.NETWORK)


def pause(attempt: int, asked: float | None) -> float:
    """Seconds before the next try: what the provider asks for, else twice as long each time, never two alike."""
    if asked is not None and asked <= LONGEST_PAUSE:
        return asked
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
