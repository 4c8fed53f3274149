"""Sums of the ledger by what people ask for, for the owner alone."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from accounts.services import create_token
from ledger import days, selectors, tables
from ledger.budgets import settle
from ledger.lines import Line
from ledger.models import SPREAD, STEPS, Kind, Outcome, UsageDay, UsageLine
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
    found = selectors.total(selectors.sums_for(alice, wish()))
    assert found["count"] == 3 and found["failures"] == 1
    assert found["money"] == Decimal("0.004") + Decimal("2.5")
    assert (found["input_tokens"], found["output_tokens"], found["gpu_seconds"]) == (2000, 1000, 3600.0)
    assert found["failure_share"] == 33.33
    assert (found["latency_ms"], found["slowest_ms"]) == (100.0, 100.0)  # of answers that came


def test_groups_are_named_and_the_dearest_come_first(alice):
    token, _text = create_token(user=alice, name="nightly")
    minion = Minion.objects.create(owner=alice, name="Fin-coach")
    settle(None, [answer(alice, "small"), answer(alice, "large", written=90_000, token_id=token.public_id)])
    settle(None, [answer(alice, "small", minion_id=minion.pk)])
    lines = selectors.sums_for(alice, wish())
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
    assert selectors.total(selectors.sums_for(alice, Wish(since=today, until=today)))["count"] == 2
    assert selectors.total(selectors.sums_for(alice, wish(model="b")))["count"] == 1
    assert selectors.total(selectors.sums_for(alice, wish(kind=Kind.GPU_SECONDS)))["count"] == 1
    assert selectors.total(selectors.sums_for(alice, wish(model="nothing")))["money"] == 0


def test_everybodys_is_for_superusers_alone(alice, mallory, django_user_model):
    root = django_user_model.objects.create_superuser("root", password="x")
    settle(None, [answer(alice), answer(alice), answer(mallory)])
    assert selectors.lines_for(mallory, wish(is_everybodys=True)).count() == 1
    assert selectors.lines_for(root, wish()).count() == 0
    everybodys = selectors.sums_for(root, wish(is_everybodys=True))
    assert {row["owner_name"]: row["count"] for row in selectors.grouped(everybodys, ["owner"])} == {
        "alice": 2, "mallory": 1,
    }  # fmt: skip
    assert selectors.lines_for(root, wish(is_everybodys=True, owner="alice")).count() == 2
    alice.delete()
    assert {row["owner_name"] for row in selectors.grouped(everybodys, ["owner"])} == {"", "mallory"}


def test_a_table_for_spreadsheets_has_every_line_and_no_formula(alice):
    settle(None, [answer(alice, '=HYPERLINK("http://evil")'), training(alice)])
    head, *rows = "".join(tables.csv_of(selectors.lines_for(alice, wish()))).splitlines()
    assert head.startswith("at,owner,kind,activity,provider,model") and len(rows) == 2
    by_model = {row.split(",")[2]: row for row in rows}
    assert (
        "'=HYPERLINK" in by_model["provider_tokens"]
        and ",0.002,1,2,,,list,ok," in by_model["provider_tokens"]
    )
    assert ",3600.0,False,2.5,,,,2.5,,ok," in by_model["gpu_seconds"]


def timed(owner, ms, **more) -> Line:
    return answer(owner, latency_ms=ms, is_stream=True, first_byte_ms=ms / 10, **more)


def test_percentiles_of_a_thousand_times_are_close_to_the_exact_ones(alice):
    draw = random.Random(7)
    times = [draw.lognormvariate(6, 1) for _ in range(1000)]
    for begin in range(0, 1000, 100):  # as they are written: some at a time, which add up
        settle(None, [timed(alice, ms) for ms in times[begin : begin + 100]])
    settle(None, [answer(alice, latency_ms=1.0, outcome=Outcome.REFUSED, status=429), training(alice)])
    found = selectors.total(selectors.sums_for(alice, wish()))
    exact = sorted(times)
    for name, place in (("p50", 499), ("p95", 949)):
        assert found[f"latency_{name}_ms"] == pytest.approx(exact[place], rel=0.06)
        assert found[f"first_byte_{name}_ms"] == pytest.approx(exact[place] / 10, rel=0.06)
    assert found["latency_ms"] == pytest.approx(sum(times) / 1000, abs=0.1)
    assert found["slowest_ms"] == pytest.approx(exact[-1], abs=0.1)


def test_a_percentile_is_never_beyond_the_slowest(alice):
    settle(None, [answer(alice, latency_ms=4073.0, first_byte_ms=4000.0, is_stream=True)])
    found = selectors.total(selectors.sums_for(alice, wish()))
    assert found["slowest_ms"] == 4073.0
    assert max(found["latency_p95_ms"], found["first_byte_p95_ms"], found["latency_p50_ms"]) <= 4073.0


def test_each_group_has_its_own_percentiles(alice):
    minion = Minion.objects.create(owner=alice, name="Fin-coach")
    settle(None, [timed(alice, 100.0, minion_id=minion.pk) for _ in range(9)] + [timed(alice, 5000.0)])
    by_minion = {
        row["minion"]: row for row in selectors.grouped(selectors.sums_for(alice, wish()), ["minion"])
    }
    assert by_minion[minion.pk]["latency_p95_ms"] == pytest.approx(100, rel=0.25)
    assert by_minion[None]["latency_p50_ms"] == pytest.approx(5000, rel=0.25)
    whole = answer(alice, "whole", latency_ms=70.0, first_byte_ms=70.0)  # the first words came with the last
    settle(None, [whole, answer(alice, "none", latency_ms=None)])
    by_model = {row["model"]: row for row in selectors.grouped(selectors.sums_for(alice, wish()), ["model"])}
    assert by_model["whole"]["first_byte_p50_ms"] is None and by_model["whole"]["latency_p50_ms"]
    assert by_model["none"]["latency_p95_ms"] is None


def test_what_went_wrong_is_counted_by_kind_with_its_share(alice):
    settle(None, [answer(alice) for _ in range(15)])
    settle(None, [answer(alice, outcome=Outcome.FAILED, error="network") for _ in range(3)])
    settle(
        None,
        [answer(alice, outcome=Outcome.REFUSED, status=404), answer(alice, outcome=Outcome.LEFT, status=499)],
    )
    found = selectors.errors_in(selectors.sums_for(alice, wish()))
    assert [(row["error"], row["outcome"], row["failures"], row["share"]) for row in found] == [
        ("network", "failed", 3, 15.0),
        ("http_404", "refused", 1, 5.0),
    ]


def test_sums_of_days_are_those_of_the_lines(alice, mallory):
    draw = random.Random(3)
    for _ in range(30):
        lines = [
            answer(
                draw.choice([alice, mallory]), draw.choice("ab"), draw.randrange(1000), draw.randrange(1000),
                at=timezone.now() - timedelta(days=draw.randrange(4)), outcome=draw.choice(Outcome.values),
            )
            for _ in range(draw.randrange(1, 9))
        ]  # fmt: skip
        settle(None, lines)
    for_lines = UsageLine.objects.values("day", "owner", "model", "outcome").order_by(
        "day", "owner", "model", "outcome"
    )
    for_days = UsageDay.objects.values("day", "owner", "model", "outcome").order_by(
        "day", "owner", "model", "outcome"
    )
    of = {name: Sum(name) for name in ("nanos", "input_tokens", "output_tokens")}
    exact = list(for_lines.annotate(**{f"of_{name}": sum_ for name, sum_ in of.items()}, n=Count("pk")))
    assert exact == list(
        for_days.annotate(**{f"of_{name}": sum_ for name, sum_ in of.items()}, n=Sum("count"))
    )
    counted = UsageDay.objects.aggregate(**{f"of_{name}": Sum(name) for name in SPREAD["whole"]})
    assert sum(counted.values()) == UsageLine.objects.filter(outcome=Outcome.OK).count()


def test_a_line_that_is_there_already_is_not_summed_up_again(alice):
    settle(None, [answer(alice, reference="req_1")])
    with pytest.raises(IntegrityError), transaction.atomic():
        settle(None, [answer(alice), answer(alice, reference="req_1")])
    assert selectors.total(selectors.sums_for(alice, wish()))["count"] == 1


def test_a_time_falls_into_the_step_that_holds_it_and_a_percentile_is_never_off_by_more():
    for ms in (1.0, 1.05, 2.0, 99.9, 12_345.6, 600_000.0):
        steps = [0] * STEPS
        steps[days.step_of(ms)] = 3
        for share in (0.01, 0.5, 0.95, 1.0):
            assert ms / 1.26 < days.percentile(steps, share) < ms * 1.26
    assert days.step_of(0.01) == 0 and days.step_of(10**9) == STEPS - 1
    assert days.percentile([0] * STEPS, 0.5) is None


def test_sums_as_a_table_for_spreadsheets_have_percentiles_and_no_formula(alice):
    settle(None, [timed(alice, 100.0), answer(alice, "=1+1", outcome=Outcome.FAILED)])
    head, *rows = "".join(
        tables.csv_of_sums(selectors.sums_for(alice, wish()), ["model", "day"])
    ).splitlines()
    assert head.startswith("model,day,count,failures,failure_share,money,") and len(rows) == 2
    assert rows[0].startswith("'=1+1,") or rows[1].startswith("'=1+1,")
