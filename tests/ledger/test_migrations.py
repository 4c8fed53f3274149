"""What the gateway had written down before there was a ledger is in it afterwards, to the last token."""

import math
import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apex.common.append_only import guards, protect, unprotect
from ledger import selectors
from ledger.models import SPREAD, UsageDay, UsageLine
from ledger.selectors import Wish

BEFORE = [("gateway", "0005_token_of_a_batch"), ("ledger", "0002_written_once")]
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
TABLE = "ledger_usageline"
OUTCOMES = {200: "ok", 499: "left", 404: "refused", 429: "refused", 500: "failed", 0: "failed"}


@pytest.fixture
def before(transactional_db):
    """The tables as they were, guards and all; whatever happens, they are as they are now afterwards."""
    protect(connection, TABLE)
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    yield MigrationExecutor(connection).loader.project_state(BEFORE).apps
    forward()
    unprotect(connection, TABLE)


def forward() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def old_rows(apps, owners, count: int) -> list:
    """Of 40 days, several models and every kind of end."""
    GatewayUse, draw = apps.get_model("gateway", "GatewayUse"), random.Random(11)
    tokens, adapters = [uuid.uuid4(), uuid.uuid4()], [uuid.uuid4(), None]
    rows = []
    for number in range(count):
        status = draw.choice([200] * 12 + list(OUTCOMES))
        first = None if status == 0 else round(draw.lognormvariate(3, 1), 3)
        rows.append(GatewayUse(
            at=BEGAN + timedelta(seconds=draw.randrange(40 * 86400)), user_id=draw.choice(owners),
            endpoint=draw.choice(["chat", "completions", "embeddings"]), model=draw.choice(["m", "n", "Ünïcode/é"]),
            adapter_id=draw.choice(adapters), token_id=draw.choice(tokens), request_id=f"req_{number:08d}",
            prompt_tokens=draw.choice([None, draw.randrange(5000)]), completion_tokens=draw.choice([None, 0, 77]),
            is_estimated=draw.random() < 0.1, status=status, is_stream=draw.random() < 0.5, first_byte_ms=first,
            latency_ms=round(draw.lognormvariate(6, 1), 3),
        ))  # fmt: skip
    GatewayUse.objects.bulk_create(rows)
    return rows


def test_old_uses_become_lines_of_the_ledger_and_their_sums_are_the_same(before, django_user_model):
    alice = django_user_model.objects.create_user("alice")
    mallory = django_user_model.objects.create_user("mallory")
    rows = old_rows(before, [alice.pk, mallory.pk], 2_345)  # not a round number of thousands
    forward()
    assert "gateway_gatewayuse" not in connection.introspection.table_names()
    lines = {line.reference: line for line in UsageLine.objects.all()}
    assert len(lines) == len(rows)
    for row in rows:
        line = lines[row.request_id]
        same = (
            "at",
            "model",
            "adapter_id",
            "token_id",
            "is_estimated",
            "status",
            "is_stream",
            "first_byte_ms",
            "latency_ms",
        )
        assert [getattr(line, name) for name in same] == [getattr(row, name) for name in same]
        assert (line.owner_id, line.activity, line.day) == (row.user_id, row.endpoint, row.at.date())
        assert (line.input_tokens, line.output_tokens) == (row.prompt_tokens, row.completion_tokens)
        assert (line.kind, line.provider, line.nanos, line.outcome) == (
            "own_tokens",
            "apex",
            0,
            OUTCOMES[row.status],
        )
    wish = Wish(since=BEGAN.date(), until=BEGAN.date() + timedelta(days=40))
    for owner in (alice, mallory):
        own = [row for row in rows if row.user_id == owner.pk]
        found = selectors.total(selectors.sums_for(owner, wish))
        assert found["count"] == len(own)
        assert found["input_tokens"] == sum(row.prompt_tokens or 0 for row in own)
        assert found["output_tokens"] == sum(row.completion_tokens or 0 for row in own)
        good = sorted(row.latency_ms for row in own if row.status == 200)
        assert found["latency_p95_ms"] == pytest.approx(good[math.ceil(len(good) * 0.95) - 1], rel=0.1)
        assert found["latency_ms"] == pytest.approx(sum(good) / len(good), abs=0.1)
        errors = {
            row["error"]: row["failures"] for row in selectors.errors_in(selectors.sums_for(owner, wish))
        }
        ends = Counter(row.status for row in own)
        assert errors == {"http_404": ends[404], "http_429": ends[429], "http_500": ends[500], "": ends[0]}
    assert len(guards(connection, TABLE)) == 2


def test_sums_made_by_the_migration_are_those_that_are_kept_while_lines_are_written(
    before, django_user_model
):
    """The same rows, once moved and once written as they would be today."""
    from ledger.budgets import settle
    from ledger.lines import Line

    alice = django_user_model.objects.create_user("alice")
    rows = old_rows(before, [alice.pk], 500)
    forward()
    moved = told()
    UsageDay.objects.all().delete()
    unprotect(connection, TABLE)
    connection.cursor().execute(f"DELETE FROM {TABLE}")
    settle(None, [
        Line(
            owner_id=alice.pk, kind="own_tokens", activity=row.endpoint, model=row.model, token_id=row.token_id,
            at=row.at, input_tokens=row.prompt_tokens, output_tokens=row.completion_tokens,
            outcome=OUTCOMES[row.status], status=row.status, is_stream=row.is_stream, first_byte_ms=row.first_byte_ms,
            latency_ms=row.latency_ms,
        )
        for row in rows
    ])  # fmt: skip
    assert len(moved) > 100 and told() == moved


def told() -> dict:
    """All sums and steps by their key; times to a microsecond."""
    found = {}
    for day in UsageDay.objects.all():
        values = [round(value, 3) if isinstance(value, float) else value for value in (
            day.count, day.input_tokens, day.output_tokens, day.timed, day.latency_ms, day.slowest_ms, day.timed_first,
            day.first_byte_ms,
        )]  # fmt: skip
        found[day.pk] = (*values, *(getattr(day, name) for steps in SPREAD.values() for name in steps))
    return found
