"""Writes down what was used: many rows at once, in a thread, while others are answered."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.db import DatabaseError, IntegrityError, connection, transaction

from gateway.hot.database import in_database, in_database_behind
from gateway.models import GatewayUse

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
AT_ONCE = 500
# So many rows wait before writing them stops giving way to answers: about a second of a whole core's requests.
MANY = 5000
# What databases keep in other forms than Python does.
PREPARED = {"at", "token_id", "adapter_id"}
# While the database is away rows wait; of more than these the oldest are lost, which the log says.
MOST_WAITING = 100_000


class Recorder:
    """`note` takes the fields of a `GatewayUse` and costs an append.

    What was noted is in the database about a second later, or at `close`.
    """

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._writer: asyncio.Task | None = None

    def note(self, use: dict[str, Any]) -> None:
        self._waiting.append(use)
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


def _create(uses: list[dict[str, Any]]) -> None:
    try:
        _insert(uses)
        return
    except IntegrityError:
        log.info("one of %d rows cannot be kept; they are written one by one", len(uses))
    for use in uses:
        try:
            with transaction.atomic():
                GatewayUse.objects.create(**use)
        except IntegrityError as problem:  # whoever asked is gone, or the row is there already
            log.warning("request %s is not written down: %s", use["request_id"], problem)


def _insert(uses: list[dict[str, Any]]) -> None:
    """One statement for all rows: a thousand models a second would take more time than the answers do."""
    columns = {field.attname: field for field in GatewayUse._meta.concrete_fields}
    fields = [columns[name] for name in uses[0]]
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    prepared = [
        [
            columns[name].get_db_prep_save(value, connection) if name in PREPARED else value
            for name, value in use.items()
        ]
        for use in uses
    ]
    table = connection.ops.quote_name(GatewayUse._meta.db_table)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", prepared)
