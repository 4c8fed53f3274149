"""Sums of the ledger by day, kept while lines are written: pages read these, however many lines there are.

How long answers took is counted in steps of a quarter, so that percentiles of any days, models and minions are found by
adding up: exact to the step, and within it by proportion. Only answers that came are timed.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from datetime import UTC
from functools import cache
from hashlib import blake2b
from typing import Any

from django.db import connection

from ledger.lines import Line
from ledger.models import SPREAD, STEPS, Kind, Outcome, UsageDay

STEP = math.log(1.25)

KEY = (
    "day",
    "owner_id",
    "kind",
    "activity",
    "provider",
    "model",
    "minion_id",
    "token_id",
    "outcome",
    "error",
)
SUMS = (
    "count",
    "nanos",
    "input_tokens",
    "output_tokens",
    "gpu_ms",
    "timed",
    "latency_ms",
    "timed_first",
    "first_byte_ms",
)
GROWN = (*SUMS, *SPREAD["first"], *SPREAD["whole"])
FIRST, WHOLE = len(SUMS), len(SUMS) + STEPS  # where their steps begin in `GROWN`
MOST = "slowest_ms"
TABLE = f'"{UsageDay._meta.db_table}"'
_ID = UsageDay._meta.pk.get_db_prep_save
_COLUMNS = {
    column.attname: column.get_db_prep_save
    for column in UsageDay._meta.concrete_fields
    if column.attname in KEY
}


class Day:
    """What lines of one key come to: the values of `GROWN`, and the slowest."""

    def __init__(self) -> None:
        self.sums: list[float] = [0] * len(GROWN)
        self.slowest_ms: float | None = None

    def add(self, line: Line) -> None:
        sums = self.sums
        sums[0] += 1
        sums[1] += line.nanos
        sums[2] += line.input_tokens or 0
        sums[3] += line.output_tokens or 0
        sums[4] += line.gpu_ms or 0
        if line.kind == Kind.GPU_SECONDS or line.outcome != Outcome.OK:
            return
        if (took := line.latency_ms) is not None:
            sums[5] += 1
            sums[6] += took
            sums[WHOLE + step_of(took)] += 1
            self.slowest_ms = max(took, self.slowest_ms or 0.0)
        if line.is_stream and (first := line.first_byte_ms) is not None:
            sums[7] += 1
            sums[8] += first
            sums[FIRST + step_of(first)] += 1


def step_of(ms: float) -> int:
    """In which step a time is; what is longer than all of them is in the last."""
    return min(int(math.log(ms) / STEP), STEPS - 1) if ms > 1 else 0


def percentile(steps: Sequence[int], share: float) -> float | None:
    """The time, in ms, within which `share` of all that is counted in `steps` came."""
    wanted, seen = share * sum(steps), 0
    for step, count in enumerate(steps):
        if count and seen + count >= wanted:
            return round(math.exp((step + (wanted - seen) / count) * STEP), 1)
        seen += count
    return None


def add(lines: Sequence[Line]) -> None:
    """Adds lines that are just being written, in their transaction. In the order of ids, so that nobody waits in a
    circle."""
    days: dict[tuple, Day] = {}
    for line in lines:
        key = key_of(line)
        day = days.get(key) or days.setdefault(key, Day())
        day.add(line)
    rows = sorted(((id_of(key), key, day) for key, day in days.items()), key=lambda row: row[0])
    with connection.cursor() as cursor:
        cursor.executemany(statement(connection.vendor), [_row(*row) for row in rows])


def key_of(line: Line) -> tuple:
    return (
        line.at.astimezone(UTC).date(), line.owner_id, str(line.kind), line.activity[:24], line.provider[:60],
        line.model[:255], _uuid(line.minion_id), _uuid(line.token_id), str(line.outcome), line.failure,
    )  # fmt: skip


def _uuid(value: Any) -> uuid.UUID | None:
    return value if value is None or isinstance(value, uuid.UUID) else uuid.UUID(str(value))


def id_of(key: tuple) -> uuid.UUID:
    """The same wherever it is reckoned, so that a row need not be looked for."""
    return uuid.UUID(bytes=blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest())


@cache
def statement(vendor: str) -> str:
    """Makes the row of a key, or adds to it, in this kind of database."""
    name = connection.ops.quote_name
    names = [name(column) for column in ("id", *KEY, *GROWN, MOST)]
    grown = [f"{name(one)} = {TABLE}.{name(one)} + excluded.{name(one)}" for one in GROWN]
    old, new = f"{TABLE}.{name(MOST)}", f"excluded.{name(MOST)}"
    greater = "MAX" if vendor == "sqlite" else "GREATEST"
    grown.append(f"{name(MOST)} = {greater}(COALESCE({old}, {new}), COALESCE({new}, {old}))")
    insert = f"INSERT INTO {TABLE} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
    return f"{insert} ON CONFLICT (id) DO UPDATE SET {', '.join(grown)}"


def _row(key: uuid.UUID, columns: tuple, day: Day) -> list[Any]:
    values = [_COLUMNS[name](value, connection) for name, value in zip(KEY, columns, strict=True)]
    return [_ID(key, connection), *values, *day.sums, day.slowest_ms]
