"""Writes down what was used: many rows at once, in a thread, while others are answered."""

from __future__ import annotations

import asyncio
import logging

from django.db import DatabaseError, DataError, IntegrityError

from apex.common.async_database import in_database, in_database_behind
from ledger import budgets
from ledger.lines import Line
from ledger.models import Reservation

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
AT_ONCE = 500
# So many rows wait before writing them stops giving way to answers: about a second of a whole core's requests.
MANY = 5000
# While the database is away rows wait; of more than these the oldest are lost, which the log says.
MOST_WAITING = 100_000

# What no later try would keep either: one such row must not hold up those behind it for ever.
UNKEEPABLE = (IntegrityError, DataError, OverflowError, ValueError)

# What was used, and what was held for it.
Note = tuple[Line, Reservation | None]


class Recorder:
    """`note` costs an append. What was noted is in the ledger about a second later, or at `close`."""

    def __init__(self) -> None:
        self._waiting: list[Note] = []
        self._writer: asyncio.Task | None = None

    def note(self, line: Line, held: Reservation | None) -> None:
        self._waiting.append((line, held))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Writes what is left."""
        if self._writer:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        while self._waiting and await self._write_some():
            continue

    async def _write(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(EVERY_SECONDS)
                while self._waiting and await self._write_some():
                    continue
        finally:
            self._writer = None

    async def _write_some(self) -> bool:
        """True when the rows are written; else they wait on."""
        rows = self._waiting[:AT_ONCE]
        # A stop must not come between writing them and forgetting them, or they would be written twice.
        write = in_database if len(self._waiting) > MANY else in_database_behind
        written = asyncio.ensure_future(write(_create, rows))
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            await asyncio.gather(written, return_exceptions=True)
            if written.exception() is None:
                del self._waiting[: len(rows)]
            raise
        except DatabaseError as problem:
            log.warning("%d requests are not written down yet: %s", len(self._waiting), problem)
            if (lost := len(self._waiting) - MOST_WAITING) > 0:
                log.error("%d requests could not be written down and are lost", lost)
                del self._waiting[:lost]
            return False
        del self._waiting[: len(rows)]
        return True


def _create(notes: list[Note]) -> None:
    """Lines of the ledger and the ends of their reservations, together. A line that is there already, or that cannot
    be kept, is left out, and what was held for it given back."""
    try:
        budgets.book([line for line, _held in notes], [held for _line, held in notes if held])
        return
    except UNKEEPABLE:
        log.info("one of %d rows cannot be kept; they are written one by one", len(notes))
    for line, held in notes:
        try:
            budgets.settle(held, [line])
        except UNKEEPABLE as problem:
            log.warning("request %s is not written down: %s", line.reference, problem)
            budgets.release(held)
