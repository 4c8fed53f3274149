"""What was used as tables for spreadsheets: line by line, or summed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from ledger import selectors
from ledger.models import UsageLine
from ledger.money import dollars_of

CSV_COLUMNS = (
    "at", "owner", "kind", "activity", "provider", "model", "minion", "token", "training", "reference", "input_tokens",
    "output_tokens", "cached_tokens", "gpu_seconds", "is_estimated", "money", "price_in", "price_out", "price_cached",
    "price_hour", "price_source", "outcome", "status", "first_byte_ms", "latency_ms", "error",
)  # fmt: skip


class _Echo:
    def write(self, text: str) -> str:
        return text


def csv_of(lines: QuerySet) -> Iterator[str]:
    """Every line, newest first; what a spreadsheet would take for a formula is put in quotes of its own."""
    write = csv.writer(_Echo()).writerow
    yield write(CSV_COLUMNS)
    names: dict[int, str] = {}
    for line in lines.order_by("-at", "-pk").iterator(chunk_size=2000):
        if line.owner_id not in names:
            name = User.objects.filter(pk=line.owner_id).values_list("username", flat=True).first()
            names[line.owner_id] = name or str(line.owner_id)
        yield write([harmless(value) for value in csv_row(line, names[line.owner_id])])


def csv_row(line: UsageLine, owner: str) -> list[Any]:
    prices = (line.input_price, line.output_price, line.cached_price, line.hour_price)
    return [
        line.at.astimezone(UTC).isoformat(), owner, line.kind, line.activity, line.provider, line.model,
        line.minion_id, line.token_id, line.job_id, line.reference, line.input_tokens, line.output_tokens,
        line.cached_tokens, None if line.gpu_ms is None else line.gpu_ms / 1000, line.is_estimated,
        f"{line.money:f}", *(None if price is None else f"{dollars_of(price):f}" for price in prices),
        line.price_source, line.outcome, line.status, line.first_byte_ms, line.latency_ms,
        line.error,
    ]  # fmt: skip


def harmless(value: Any) -> Any:
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value


SUM_COLUMNS = (
    "count", "failures", "failure_share", "money", "input_tokens", "output_tokens", "gpu_seconds", "first_byte_p50_ms",
    "first_byte_p95_ms", "first_byte_ms", "latency_p50_ms", "latency_p95_ms", "latency_ms", "slowest_ms",
)  # fmt: skip


def csv_of_sums(sums: QuerySet, by: Sequence[str]) -> Iterator[str]:
    """One line for each group, as `selectors.grouped` has them."""
    write = csv.writer(_Echo()).writerow
    named = [f"{name}_name" for name in by if name in ("minion", "token", "owner")]
    yield write([*by, *named, *SUM_COLUMNS])
    for row in selectors.grouped(sums, by):
        yield write(
            [harmless(row[name]) for name in (*by, *named)] + [plain(row[name]) for name in SUM_COLUMNS]
        )


def plain(value: Any) -> Any:
    return f"{value:f}" if hasattr(value, "as_tuple") else value
