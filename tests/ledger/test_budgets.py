"""Reserve, run, settle: nobody uses more than is left, whoever else asks and whoever is killed meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from accounts.models import Notice
from accounts.services import create_token
from ledger import budgets, counting, services
from ledger.budgets import draw, release, reserve, settle
from ledger.lines import Line
from ledger.models import Counter, Kind, Reservation, UsageLine, period_start
from ledger.money import Amount, HourPrice, TokenPrice
from ledger.refusals import BudgetSpent

DOLLAR = TokenPrice.per_million(1, 1, source="a list")
pytestmark = pytest.mark.django_db


def line(owner, dollars=1, **more) -> Line:
    """A line over so many dollars, at a dollar for a million tokens."""
    return Line(
        owner_id=owner.pk, kind=Kind.PROVIDER_TOKENS, activity="chat", provider="test", price=DOLLAR,
        input_tokens=0, output_tokens=round(dollars * 1_000_000), **more,
    )  # fmt: skip


def counted(owner) -> tuple[Decimal, Decimal]:
    """Dollars that are used and held, of the owner's one budget."""
    counter = Counter.objects.get(owner=owner)
    return Decimal(counter.spent) / 10**9, Decimal(counter.reserved) / 10**9


def test_without_a_budget_nothing_is_held_and_lines_are_written(alice):
    reservation = reserve(alice, Decimal("3.40"), what="a question")
    settle(reservation, [line(alice, 2)])
    assert not Reservation.objects.exists() and not Counter.objects.exists()
    written = UsageLine.objects.get()
    assert (written.money, written.output_price, written.price_source) == (2, 10**9, "a list")
    assert written.day == written.at.astimezone(UTC).date()


def test_what_is_held_is_not_there_for_others_and_comes_back_when_it_is_settled(alice):
    services.set_budget(owner=alice, limit=10)
    first = reserve(alice, Decimal(6), what="a")
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal(5), what="b")
    settle(first, [line(alice, 2)])
    assert counted(alice) == (2, 0)
    second = reserve(alice, Decimal(8), what="b")
    release(second)
    release(second)
    assert counted(alice) == (2, 0) and not Reservation.objects.exists()


def test_a_refusal_explains_the_arithmetic(alice):
    services.set_budget(owner=alice, limit=10)
    settle(None, [line(alice, 7.9)])
    with pytest.raises(BudgetSpent) as refused:
        reserve(alice, Decimal("3.40"), what="a")
    error = refused.value
    assert error.message.startswith("You have $2.10 of $10.00 left this month; this could cost up to $3.40.")
    assert (error.status, error.body()["error"]["type"], error.code) == (
        429, "insufficient_quota", "insufficient_quota",
    )  # fmt: skip


def test_a_budget_of_tokens_or_of_device_time_refuses_in_its_own_unit(alice):
    services.set_budget(owner=alice, limit=1000, measure="tokens", period="day")
    services.set_budget(owner=alice, limit=3600, measure="gpu_seconds", period="ever")
    with pytest.raises(
        BudgetSpent, match=r"You have 1,000 tokens of 1,000 tokens left today; .* 1,001 tokens"
    ):
        reserve(alice, Amount(tokens=1001), what="a")
    with pytest.raises(BudgetSpent, match=r"60 min of device time left for good; .* 2\.0 h of device time"):
        reserve(alice, Amount.of(gpu_seconds=7200), what="a")
    time = Line(
        owner_id=alice.pk, kind=Kind.GPU_SECONDS, activity="training", gpu_seconds=1800,
        price=HourPrice.per_hour("2.50", source="device"),
    )  # fmt: skip
    settle(reserve(alice, Amount.of(gpu_seconds=3600), what="a"), [time])
    assert UsageLine.objects.get().money == Decimal("1.25")
    counter = Counter.objects.get(budget__measure="gpu_seconds")
    assert (counter.spent, counter.reserved) == (1_800_000, 0)


def test_a_budget_of_a_token_or_a_minion_counts_what_is_done_with_it_alone(alice):
    token, _text = create_token(user=alice, name="x")
    minion = uuid.uuid4()
    services.set_budget(owner=alice, limit=5, scope="token", token_id=token.public_id)
    services.set_budget(owner=alice, limit=3, scope="minion", minion_id=minion, name="Coach")
    settle(None, [line(alice, 4)])
    held = reserve(alice, Decimal(3), token=token, minion_id=minion, what="a")
    assert len(held.holds) == 2
    with pytest.raises(BudgetSpent, match="This API token has"):
        reserve(alice, Decimal(3), token=str(token.public_id), what="b")
    with pytest.raises(BudgetSpent, match="Coach has nothing of"):
        reserve(alice, Decimal("0.01"), minion_id=minion, what="b")
    reserve(alice, Decimal(100), what="without either")


def test_what_is_refused_by_one_budget_is_held_in_none(alice):
    minion = uuid.uuid4()
    services.set_budget(owner=alice, limit=10)
    services.set_budget(owner=alice, limit=1, scope="minion", minion_id=minion)
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal(2), minion_id=minion, what="a")
    assert set(Counter.objects.values_list("reserved", flat=True)) == {0}


def test_the_houses_default_holds_for_each_person_until_one_of_their_own_stands_in_its_place(alice, mallory):
    services.set_budget(owner=None, limit=5)
    reserve(alice, Decimal(5), what="a")
    reserve(mallory, Decimal(5), what="hers is not touched by alice's")
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal(1), what="b")
    services.set_budget(owner=alice, limit=20)
    reserve(alice, Decimal(20), what="c")
    services.set_budget(owner=mallory, limit=None)
    reserve(mallory, Decimal(1000), what="d")


def test_a_limit_that_an_owner_sets_can_only_be_lower(alice):
    services.set_budget(owner=alice, limit=5)
    services.set_budget(owner=alice, limit=500, is_own=True)
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal(6), what="a")
    services.set_budget(owner=alice, limit=2, is_own=True)
    with pytest.raises(BudgetSpent, match=r"of \$2\.00 left"):
        reserve(alice, Decimal(3), what="a")


def test_a_new_budget_counts_what_was_used_already(alice):
    settle(None, [line(alice, 4), line(alice, 1, at=period_start("month") - timedelta(days=1))])
    services.set_budget(owner=alice, limit=5)
    assert counted(alice) == (4, 0)
    settle(None, [line(alice, 1)])
    assert counted(alice) == (5, 0)


def test_a_counter_that_begins_with_its_first_line_counts_it_once(alice):
    services.set_budget(owner=None, limit=5)
    settle(None, [line(alice, 1)])
    assert counted(alice) == (1, 0)


def test_a_new_month_begins_with_nothing_used_and_what_is_held_stays_held(alice):
    services.set_budget(owner=alice, limit=5)
    settle(None, [line(alice, 4)])
    held = reserve(alice, Decimal(1), what="over midnight")
    Counter.objects.update(began_at=datetime(2020, 1, 1, tzinfo=UTC))
    reserve(alice, Decimal(4), what="a")
    assert counted(alice) == (0, 5)
    settle(held, [line(alice, 1)])
    assert counted(alice) == (1, 4)


def test_a_line_that_is_there_already_changes_nothing(alice):
    services.set_budget(owner=alice, limit=5)
    held = reserve(alice, Decimal(1), what="a")
    settle(held, [line(alice, 1, reference="req_1")])
    again = reserve(alice, Decimal(1), what="a")
    with pytest.raises(IntegrityError):
        settle(again, [line(alice, 1, reference="req_1")])
    assert counted(alice) == (1, 1)


def test_a_training_draws_on_what_is_held_for_it(alice):
    services.set_budget(owner=alice, limit=10)
    held = reserve(alice, Decimal(6), what="a training", subject="job-1")
    draw(held, [line(alice, 2)])
    assert counted(alice) == (2, 4)
    draw(held, [line(alice, 5)])  # longer than it was estimated: booked all the same
    assert counted(alice) == (7, 0)
    release(budgets.reservation_for("job-1"))
    assert counted(alice) == (7, 0)


def test_what_was_left_behind_is_given_back_and_what_is_renewed_stays(alice):
    services.set_budget(owner=alice, limit=10)
    lost = reserve(alice, Decimal(1), what="a", lease=timedelta(0))
    reserve(alice, Decimal(2), what="b", subject="job-1", lease=timedelta(0))
    budgets.renew(["job-1"])
    assert budgets.release_expired() == 1
    assert counted(alice) == (0, 2)
    settle(lost, [line(alice, 1)])  # its process was only slow
    assert counted(alice) == (1, 2)


def test_the_bell_rings_at_80_per_cent_and_at_the_end_once_each(alice):
    services.set_budget(owner=alice, limit=10)
    settle(None, [line(alice, 7.99)])
    assert not Notice.objects.exists()
    settle(None, [line(alice, 0.01)])
    settle(None, [line(alice, 1)])
    assert [notice.text for notice in Notice.objects.all()] == [
        "Your budget is nearly used up: $8.00 of $10.00 this month."
    ]
    for _ in range(2):
        with pytest.raises(BudgetSpent):
            reserve(alice, Decimal(2), what="a")
    settle(None, [line(alice, 5)])
    texts = [notice.text for notice in Notice.objects.order_by("created_at")]
    assert len(texts) == 3 and "is used up: $14.00 of $10.00" in texts[2]
    assert texts[1].startswith(
        "A budget was too small for something: You have $1.00 of $10.00 left this month; "
    )
    with pytest.raises(BudgetSpent):  # who knows that all is used up need not be told of each refusal
        reserve(alice, Decimal(2), what="a")
    Counter.objects.update(began_at=datetime(2020, 1, 1, tzinfo=UTC))
    settle(None, [line(alice, 8)])
    assert Notice.objects.count() == 4


def test_one_that_asks_for_too_much_at_once_is_still_told_at_80_and_at_the_end(alice):
    services.set_budget(owner=alice, limit=10)
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal(11), what="a")
    settle(None, [line(alice, 8)])
    settle(None, [line(alice, 2)])
    kinds = [notice.text.split(":")[0] for notice in Notice.objects.order_by("created_at")]
    assert kinds == [
        "A budget was too small for something", "Your budget is nearly used up", "Your budget is used up",
    ]  # fmt: skip


def test_a_refusal_is_passing_where_only_what_is_held_stands_in_the_way(alice):
    services.set_budget(owner=alice, limit=10)
    settle(None, [line(alice, 4)])
    reserve(alice, Decimal(3), what="runs")
    for asked, is_passing in ((Decimal(6), True), (Decimal(7), False)):
        with pytest.raises(BudgetSpent) as refused:
            reserve(alice, asked, what="b")
        assert refused.value.is_passing == is_passing


def test_sums_of_the_ledger_and_counters_agree_to_the_nano(alice):
    services.set_budget(owner=alice, limit=100)
    odd = TokenPrice.per_million("0.15", "0.60", "0.075")
    for count in range(1, 40):
        one = Line(
            owner_id=alice.pk, kind=Kind.PROVIDER_TOKENS, activity="chat", price=odd, input_tokens=7 * count,
            cached_tokens=count, output_tokens=3,
        )  # fmt: skip
        settle(reserve(alice, Decimal("0.01"), what="a"), [one])
    counter = Counter.objects.select_related("budget").get()
    assert counter.spent == counting.sum_of(counter) > 0 and counter.reserved == 0


@pytest.mark.django_db(transaction=True)
def test_of_a_hundred_at_once_exactly_ten_get_what_is_there_for_ten(alice):
    services.set_budget(owner=alice, limit=10)
    won, refused, broke = [], [], []

    def ask() -> None:
        try:
            won.append(reserve(alice, Decimal(1), what="a question"))
        except BudgetSpent as problem:
            refused.append(problem)
        except Exception as problem:  # noqa: BLE001 - a thread's fault must fail the test
            broke.append(problem)
        finally:
            connection.close()

    def end(reservation) -> None:
        try:
            settle(reservation, [line(alice, 1)])
        finally:
            connection.close()

    at_once(ask, [()] * 100)
    assert (len(won), len(refused), broke) == (10, 90, [])
    at_once(end, [(one,) for one in won])
    assert counted(alice) == (10, 0) and UsageLine.objects.count() == 10
    assert not Reservation.objects.exists()
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal("0.01"), what="one more")


def at_once(act, arguments) -> None:
    threads = [threading.Thread(target=act, args=given) for given in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_end_a_reservation_one_gives_it_back(alice):
    services.set_budget(owner=alice, limit=10)
    for _ in range(10):
        reservation = reserve(alice, Decimal(1), what="a", lease=timedelta(0))

        def sweep() -> None:
            budgets.release_expired()
            connection.close()

        def end(reservation=reservation) -> None:
            settle(reservation, [line(alice, 0.5)])
            connection.close()

        both = [threading.Thread(target=act) for act in (sweep, end)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    assert counted(alice) == (5, 0)


KILLED = """
import django, os, signal, sys
django.setup()
from django.conf import settings
from django.db import connection
connection.close()
connection.settings_dict["NAME"] = sys.argv[1]
from decimal import Decimal
from accounts.models import User
from ledger.budgets import reserve
reserve(User.objects.get(username="alice"), Decimal(10), what="what never ends")
print("reserved", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_killed_between_leaves_nothing_held(alice):
    services.set_budget(owner=alice, limit=10)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(connection.settings_dict["NAME"])], capture_output=True, text=True,
        timeout=60, check=False, env={**os.environ, "DJANGO_SETTINGS_MODULE": "apex.settings.test"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "reserved\n"), done.stderr
    assert counted(alice) == (0, 10)
    assert budgets.release_expired() == 0  # it might still live
    Reservation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert budgets.release_expired() == 1
    assert counted(alice) == (0, 0)
    reserve(alice, Decimal(10), what="all of it is there again")
