"""A line of the ledger on its way into the table: cheap to make by the thousand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from ledger.models import Kind, Outcome, UsageLine, an_id
from ledger.money import Amount, HourPrice, TokenPrice


@dataclass(slots=True)
class Line:
    """What was used. `price` None: nobody has said one, and it costs nothing. Fields are those of `UsageLine`."""

    owner_id: int
    kind: str
    activity: str
    provider: str = "apex"
    model: str = ""
    price: TokenPrice | HourPrice | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    gpu_seconds: float | None = None
    token_id: Any = None
    minion_id: Any = None
    adapter_id: Any = None
    job_id: Any = None
    reference: str = field(default_factory=an_id)
    at: datetime = field(default_factory=timezone.now)
    outcome: str = Outcome.OK
    status: int | None = None
    error: str = ""
    is_estimated: bool = False
    is_stream: bool = False
    first_byte_ms: float | None = None
    latency_ms: float | None = None

    @property
    def gpu_ms(self) -> int | None:
        return None if self.gpu_seconds is None else round(self.gpu_seconds * 1000)

    @property
    def nanos(self) -> int:
        if isinstance(self.price, TokenPrice):
            return self.price.nanos(self.input_tokens or 0, self.output_tokens or 0, self.cached_tokens or 0)
        return self.price.nanos(self.gpu_ms or 0) if self.price else 0

    @property
    def amount(self) -> Amount:
        """What budgets count of it."""
        return Amount(self.nanos, (self.input_tokens or 0) + (self.output_tokens or 0), self.gpu_ms or 0)

    @property
    def failure(self) -> str:
        """In a word what went wrong; empty where nothing did."""
        if self.outcome in (Outcome.OK, Outcome.LEFT):
            return ""
        return self.error[:40] or (f"http_{self.status}" if self.status else "")

    def row(self) -> list[Any]:
        """The values of `COLUMNS`."""
        price, tokens, hour = self.price, None, None
        if isinstance(price, TokenPrice):
            tokens = price
        elif price:
            hour = price.hour
        return [
            _TIME(self.at, connection),
            _DAY(self.at.astimezone(UTC).date(), connection),
            self.owner_id,
            str(self.kind),
            self.activity[:24],
            self.provider[:60],
            self.model[:255],
            self.adapter_id and _UUID(self.adapter_id, connection),
            self.token_id and _UUID(self.token_id, connection),
            self.minion_id and _UUID(self.minion_id, connection),
            self.job_id and _UUID(self.job_id, connection),
            self.reference[:80],
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.gpu_ms,
            self.is_estimated,
            self.nanos,
            tokens and tokens.input,
            tokens and tokens.output,
            tokens and tokens.cached,
            hour,
            price.source[:200] if price else "",
            str(self.outcome),
            self.status,
            self.failure or None,
            self.is_stream,
            self.first_byte_ms,
            self.latency_ms,
        ]


COLUMNS = [field for field in UsageLine._meta.concrete_fields if not field.primary_key]
_TIME = UsageLine._meta.get_field("at").get_db_prep_save
_DAY = UsageLine._meta.get_field("day").get_db_prep_save
_UUID = UsageLine._meta.get_field("token_id").get_db_prep_save


def insert(lines: Sequence[Line]) -> None:
    """All of them in one statement: a thousand models a second would take more time than answers do.

    Raises IntegrityError where one of them is there already; then none is written.
    """
    names = ", ".join(connection.ops.quote_name(column.column) for column in COLUMNS)
    marks = ", ".join(["%s"] * len(COLUMNS))
    table = connection.ops.quote_name(UsageLine._meta.db_table)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", [line.row() for line in lines])


__all__ = ["Kind", "Line", "Outcome", "insert"]
