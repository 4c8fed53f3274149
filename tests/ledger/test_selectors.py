"""Sums of the ledger by what people ask for, for the owner alone."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.services import create_token
from ledger import selectors
from ledger.budgets import settle
from ledger.lines import Line
from ledger.models import Kind, Outcome
from ledger.money import HourPrice, TokenPrice
from ledger.selectors import Wish
from minions.models import Minion

pytestmark = pytest.mark.django_db
PRICE = TokenPrice.per_million("1.00", "2.00", source="list")


def answer(owner, model="m", read=1000, written=500, **more) -> Line:
    return Line(
        owner_id=owner.pk, kind=Kind.PROVIDER_TOKENS, activity="chat", provider="openai", model=model, price=PRICE,
        input_tokens=read, output_tokens=written, **{"latency_ms": 100.0, **more},
    )  # fmt: skip


def training(owner, seconds=3600) -> Line:
    return Line(
        owner_id=owner.pk, kind=Kind.GPU_SECONDS, activity="training", model="base", gpu_seconds=seconds,
        price=HourPrice.per_hour("2.50"), latency_ms=seconds * 1000.0,
    )  # fmt: skip


def wish(**more) -> Wish:
    today = selectors.today()
    return Wish(since=today - timedelta(days=29), until=today, **more)


def test_a_total_counts_money_tokens_time_and_failures_of_ones_own(alice, mallory):
    settle(None, [answer(alice), answer(alice, outcome=Outcome.FAILED, latency_ms=300.0), training(alice)])
    settle(None, [answer(mallory)])
    found = selectors.total(selectors.lines_for(alice, wish()))
    assert found["count"] == 3 and found["failures"] == 1
    assert found["money"] == Decimal("0.004") + Decimal("2.5")
    assert (found["input_tokens"], found["output_tokens"], found["gpu_seconds"]) == (2000, 1000, 3600.0)
    assert (found["latency_ms"], found["slowest_ms"]) == (200.0, 300.0)


def test_groups_are_named_and_the_dearest_come_first(alice):
    token, _text = create_token(user=alice, name="nightly")
    minion = Minion.objects.create(owner=alice, name="Fin-coach")
    settle(None, [answer(alice, "small"), answer(alice, "large", written=90_000, token_id=token.public_id)])
    settle(None, [answer(alice, "small", minion_id=minion.pk)])
    lines = selectors.lines_for(alice, wish())
    assert [row["model"] for row in selectors.grouped(lines, ["model"])] == ["large", "small"]
    by_token = {row["token"]: row["token_name"] for row in selectors.grouped(lines, ["token"])}
    assert by_token == {token.public_id: "nightly", None: ""}
    by_minion = {row["minion"]: row["minion_name"] for row in selectors.grouped(lines, ["minion"])}
    assert by_minion == {minion.pk: "Fin-coach", None: ""}
    both = selectors.grouped(lines, ["day", "model"])
    assert len(both) == 2 and both[0]["day"] == selectors.today()


def test_days_and_filters_cut_exactly(alice):
    now = timezone.now()
    settle(None, [answer(alice, "a"), answer(alice, "b", at=now - timedelta(days=5)), training(alice)])
    today = selectors.today()
    assert selectors.total(selectors.lines_for(alice, Wish(since=today, until=today)))["count"] == 2
    assert selectors.total(selectors.lines_for(alice, wish(model="b")))["count"] == 1
    assert selectors.total(selectors.lines_for(alice, wish(kind=Kind.GPU_SECONDS)))["count"] == 1
    assert selectors.total(selectors.lines_for(alice, wish(model="nothing")))["money"] == 0


def test_everybodys_is_for_superusers_alone(alice, mallory, django_user_model):
    root = django_user_model.objects.create_superuser("root", password="x")
    settle(None, [answer(alice), answer(alice), answer(mallory)])
    assert selectors.lines_for(mallory, wish(is_everybodys=True)).count() == 1
    assert selectors.lines_for(root, wish()).count() == 0
    everybodys = selectors.lines_for(root, wish(is_everybodys=True))
    assert {row["owner_name"]: row["count"] for row in selectors.grouped(everybodys, ["owner"])} == {
        "alice": 2, "mallory": 1,
    }  # fmt: skip
    assert selectors.lines_for(root, wish(is_everybodys=True, owner="alice")).count() == 2
    alice.delete()
    assert {row["owner_name"] for row in selectors.grouped(everybodys, ["owner"])} == {"", "mallory"}


def test_a_table_for_spreadsheets_has_every_line_and_no_formula(alice):
    settle(None, [answer(alice, '=HYPERLINK("http://evil")'), training(alice)])
    head, *rows = "".join(selectors.csv_of(selectors.lines_for(alice, wish()))).splitlines()
    assert head.startswith("at,owner,kind,activity,provider,model") and len(rows) == 2
    by_model = {row.split(",")[2]: row for row in rows}
    assert (
        "'=HYPERLINK" in by_model["provider_tokens"]
        and ",0.002,1,2,,,list,ok," in by_model["provider_tokens"]
    )
    assert ",3600.0,False,2.5,,,,2.5,,ok," in by_model["gpu_seconds"]
