"""Budgets and pace of a minion, on its page."""

from decimal import Decimal

import pytest
from django.urls import reverse

from ledger.models import Budget
from ledger.services import set_budget
from minions.services import change_minion, delete_minion
from tests.minions.test_answering import asked

pytestmark = pytest.mark.django_db(transaction=True)


def url_of(name, *ids):
    return reverse(f"minions:minion-{name}", args=ids)


def detail(client, minion):
    return client.get(url_of("detail", minion.pk)).content.decode()


def test_a_limit_is_set_shown_with_its_arithmetic_and_removed(alice_client, make_minion, outside):
    minion = make_minion()
    assert "Nothing limits what it may cost" in detail(alice_client, minion)
    answer = alice_client.post(url_of("limit", minion.pk), {"limit": "2.50", "period": "day"})
    assert answer.url == url_of("detail", minion.pk) + "#limits"
    asked(minion)
    budget = Budget.objects.get()
    spent = budget.counters.get().spent
    assert (budget.minion_id, budget.period, budget.is_own) == (minion.pk, "day", True) and spent > 0
    shown = " ".join(detail(alice_client, minion).split())
    assert "<b>$2.50</b> each day" in shown and "used today" in shown and "left</b>" in shown
    # The same kind again is the same limit, and what is used stays counted.
    alice_client.post(url_of("limit", minion.pk), {"limit": "3", "period": "day"})
    assert Budget.objects.get().counters.get().spent == spent
    alice_client.post(url_of("limit-remove", minion.pk, budget.pk))
    assert not Budget.objects.exists()


def test_a_minion_that_has_spent_it_refuses_by_its_name_of_today(alice_client, make_minion, outside):
    from apex.common.refusals import ApiError

    minion = make_minion()
    alice_client.post(url_of("limit", minion.pk), {"limit": "0", "period": "month"})
    change_minion(minion=minion, name="Norah")
    with pytest.raises(ApiError, match="Norah has nothing of .* left this month"):
        asked(minion)
    delete_minion(minion=minion)
    assert not Budget.objects.exists()


@pytest.mark.parametrize("limit, period", [("", "day"), ("-1", "day"), ("x", "day"), ("1", "week")])
def test_what_is_no_limit_is_refused(alice_client, make_minion, limit, period):
    answer = alice_client.post(
        url_of("limit", make_minion().pk), {"limit": limit, "period": period}, follow=True
    )
    assert "No limit was set" in answer.content.decode() and not Budget.objects.exists()


def test_its_pace_is_set_on_its_page(alice_client, make_minion):
    minion = make_minion()
    alice_client.post(url_of("pace", minion.pk), {"requests_per_minute": "7"})
    minion.refresh_from_db()
    assert minion.requests_per_minute == 7
    answer = alice_client.post(url_of("pace", minion.pk), {"requests_per_minute": "-7"}, follow=True)
    assert "Nothing was changed" in answer.content.decode()


def test_the_limit_of_the_house_is_shown_and_stays(alice, alice_client, mallory_client, make_minion):
    minion = make_minion()
    house = set_budget(owner=alice, limit=Decimal(1), scope="minion", minion_id=minion.pk, name="Nora")
    assert "set by the house" in detail(alice_client, minion)
    assert alice_client.post(url_of("limit-remove", minion.pk, house.pk)).status_code == 404
    for name, ids in (("limit", [minion.pk]), ("pace", [minion.pk]), ("limit-remove", [minion.pk, house.pk])):
        assert mallory_client.post(url_of(name, *ids), {"limit": "1", "period": "day"}).status_code == 404
    assert Budget.objects.get() == house
