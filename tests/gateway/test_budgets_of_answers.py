"""Budgets on the way of a question to a model: held before it is asked, settled with what it took."""

import json
import socket
import threading
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from gateway.hot import app
from ledger import services
from ledger.models import Counter, Reservation, ServingPrice, UsageLine
from tests.gateway.hot import HELLO, client_of
from tests.gateway.mock_server import Script, chunk, whole
from tests.gateway.test_hot_path import alices, mock  # noqa: F401 - fixtures

SHORT = HELLO | {"max_tokens": 100}


@pytest.fixture
def priced(db):
    """A dollar for a thousand tokens out, nothing for those in."""
    ServingPrice.objects.create(input_dollars=0, output_dollars=1000, source="our power bill")


def settled(count: int) -> list[UsageLine]:
    deadline = time.monotonic() + 5
    while (UsageLine.objects.count() < count or Reservation.objects.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return list(UsageLine.objects.order_by("at"))


def test_an_answer_costs_what_its_tokens_cost(mock, priced, alices, alice):  # noqa: F811
    services.set_budget(owner=alice, limit=10)
    assert alices.ask(SHORT)[0] == 200
    (row,) = settled(1)
    assert (row.output_tokens, row.nanos, row.price_source) == (2, 2_000_000, "our power bill")
    counter = Counter.objects.get()
    assert (counter.spent, counter.reserved) == (row.nanos, 0)


def test_what_could_cost_more_than_is_left_is_refused_in_openais_words(mock, priced, alices, alice):  # noqa: F811
    services.set_budget(owner=alice, limit="0.05")
    status, headers, content = alices.ask(SHORT)
    error = json.loads(content)["error"]
    assert (status, error["type"], error["code"], error["param"]) == (
        429, "insufficient_quota", "insufficient_quota", None,
    )  # fmt: skip
    assert error["message"].startswith(
        "You have $0.05 of $0.05 left this month; this could cost up to $0.10."
    )
    assert headers["x-should-retry"] == "false" and headers["retry-after"] is None
    assert not mock.asked
    assert alices.ask(HELLO | {"max_tokens": 50})[0] == 200


def test_of_many_at_once_no_more_are_asked_than_there_is_money_for(mock, priced, bare_site, alice):  # noqa: F811
    """Ten answers of 100 tokens at a dollar each, a hundred questions."""
    mock.answer = lambda asked: whole("tiny", prompt_tokens=1, completion_tokens=100)
    services.set_budget(owner=alice, limit="1.00")
    statuses = []

    def ask() -> None:
        client = client_of(bare_site, alice)
        statuses.extend(client.ask(SHORT)[0] for _ in range(10))
        client.connection.close()

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (10, 90)
    settled(100)
    counter = Counter.objects.get()
    assert (counter.spent, counter.reserved) == (10**9, 0)
    assert len(mock.asked) == 10


def test_tokens_are_counted_where_they_cost_nothing_and_a_budget_of_money_is_not_asked(
    mock, alices, alice  # noqa: F811
):  # fmt: skip
    services.set_budget(owner=alice, limit=0)
    assert alices.ask(SHORT)[0] == 200  # nobody has set a price
    services.set_budget(owner=alice, limit=120, measure="tokens")
    deadline = time.monotonic() + 3
    while alices.ask(HELLO | {"max_tokens": 500})[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "of 120 tokens left this month" in alices.error(HELLO | {"max_tokens": 500})[1]["message"]


def test_an_answer_that_breaks_off_gives_back_what_it_did_not_take(mock, priced, alices, alice):  # noqa: F811
    services.set_budget(owner=alice, limit=10)
    status, _ = alices.error(SHORT | {"model": "nobodys"})
    assert status == 404
    assert alices.error(SHORT | {"temperature": 9})[0] == 400
    rows = settled(2)
    assert [(row.outcome, row.nanos) for row in rows] == [("refused", 0), ("refused", 0)]
    counter = Counter.objects.get()
    assert (counter.spent, counter.reserved) == (0, 0)


def test_who_leaves_before_the_count_is_told_pays_for_what_was_read(mock, bare_site, alice):  # noqa: F811
    services.set_budget(owner=alice, limit=50_000, measure="tokens")
    mock.answer = lambda asked: Script(
        pieces=[chunk("tiny", ""), chunk("tiny", "yes"), chunk("tiny", "", "stop")], ends="hangs"
    )
    client = client_of(bare_site, alice)
    answer = client.open(SHORT | {"stream": True, "messages": [{"role": "user", "content": "word " * 8000}]})
    while b'"stop"' not in answer.readline():
        continue
    client.connection.sock.shutdown(socket.SHUT_RDWR)
    (row,) = settled(1)
    assert (row.outcome, row.is_estimated, row.output_tokens) == ("left", True, 1)
    assert 8_000 <= row.input_tokens <= 12_000
    assert Counter.objects.get().spent == row.input_tokens + 1


def test_what_is_held_stays_held_as_long_as_the_answer_is_written(mock, bare_site, alice, monkeypatch):  # noqa: F811
    """Else who reads slowly gets it back after a while, and asks for as much once more."""
    monkeypatch.setattr(app, "STUCK_SECONDS", 0.4)
    monkeypatch.setattr(app, "RENEW_SECONDS", 0)
    services.set_budget(owner=alice, limit=1000, measure="tokens")
    mock.answer = lambda asked: Script(pieces=[chunk("tiny", "a")], ends="hangs")
    client = client_of(bare_site, alice)
    client.open(SHORT | {"stream": True}).readline()
    nearly = timezone.now() + timedelta(minutes=1)
    Reservation.objects.update(expires_at=nearly)
    deadline = time.monotonic() + 5
    while Reservation.objects.get().expires_at == nearly and time.monotonic() < deadline:
        time.sleep(0.02)
    assert Reservation.objects.get().expires_at > nearly + timedelta(minutes=5)
    client.connection.sock.shutdown(socket.SHUT_RDWR)
    settled(1)
