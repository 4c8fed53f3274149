"""How many calls a minute beside questions: by user and by token, refused in the words of each surface."""

import asyncio
import logging
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache, caches
from django.test import Client

from accounts.services import create_token
from apex.common import rates
from apex.settings.work import CACHES as as_when_running
from ledger.models import MinuteLimits
from tests.gateway.conftest import bare_site  # noqa: F401 - a fixture
from tests.gateway.test_openai_client import raw

pytestmark = pytest.mark.django_db
OURS = "/api/v1/datasets/"
OPENAIS = ["/v1/files", "/v1/fine_tuning/jobs", "/v1/batches", "/v1/models"]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Ten seconds of a minute have passed; nobody has called in it."""
    now = SimpleNamespace(time=lambda: clock.now, monotonic=time.monotonic)
    clock = SimpleNamespace(now=6_000_000_010.0)
    monkeypatch.setattr(rates, "time", now)
    monkeypatch.setattr(rates.Rest, "until", 0.0)
    cache.clear()
    return clock


def program(user, **asked) -> Client:
    return Client(headers={"authorization": f"Bearer {create_token(user=user, name='x', **asked)[1]}"})


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_calls_of_a_person_are_counted_together_and_refused_in_the_words_of_each_surface(
    alice, mallory, settings, clock
):
    settings.CALLS_PER_MINUTE = 7
    first, second, browser = program(alice), program(alice), signed_in(alice)
    assert [first.get(OURS).status_code, second.get(OURS).status_code, browser.get(OURS).status_code] == [
        200
    ] * 3
    for left, address in zip("3210", OPENAIS, strict=True):
        answer = second.get(address)
        assert (answer.status_code, answer["x-ratelimit-limit-requests"]) == (200, "7")
        assert (answer["x-ratelimit-remaining-requests"], answer["x-ratelimit-reset-requests"]) == (
            left,
            "50s",
        )

    for client in (first, browser):
        refused = client.get(OURS)
        assert (refused.status_code, refused["retry-after"]) == (429, "50")
        assert refused.json()["error"] == {
            "code": "rate_limit_exceeded", "field": None, "details": None,
            "message": "Rate limit reached for requests per minute: limit 7, used 7. Please try again in 50s.",
        }  # fmt: skip
    for address in OPENAIS:
        refused = first.get(address)
        error = refused.json()["error"]
        assert (refused.status_code, refused["retry-after"]) == (429, "50")
        assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
        assert "limit 7, used 7. Please try again in 50s." in error["message"]
        assert (refused["x-ratelimit-limit-requests"], refused["x-ratelimit-remaining-requests"]) == (
            "7",
            "0",
        )
        assert refused["x-request-id"].startswith("req_")
    assert program(mallory).get(OURS).status_code == program(mallory).get(OPENAIS[0]).status_code == 200
    assert Client().get(OURS).status_code == Client().get(OPENAIS[0]).status_code == 401
    clock.now += 50
    assert first.get(OURS).status_code == browser.get(OURS).status_code == 200


def test_what_is_sent_is_not_read_where_the_minute_is_used_up(alice, settings):
    settings.CALLS_PER_MINUTE = 1
    client = program(alice)
    assert client.get(OPENAIS[0]).status_code == 200
    for address in ("/v1/files", "/v1/fine_tuning/jobs", "/v1/batches", "/api/v1/datasets/"):
        assert client.post(address, "no JSON", content_type="application/json").status_code == 429
    assert client.delete("/v1/files/file-x").status_code == 429


def test_a_token_makes_no_more_calls_than_it_says_and_others_of_its_user_go_on(alice):
    limited, other = program(alice, requests_per_minute=2), program(alice)
    answer = limited.get(OPENAIS[0])
    assert (answer["x-ratelimit-limit-requests"], answer["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert limited.get(OURS).status_code == 200
    assert "requests per minute: limit 2, used 2." in limited.get(OURS).json()["error"]["message"]
    assert limited.get(OPENAIS[0]).json()["error"]["code"] == "rate_limit_exceeded"
    answer = other.get(OPENAIS[0])
    # What was refused by the token is no call of the person.
    assert (answer["x-ratelimit-limit-requests"], answer["x-ratelimit-remaining-requests"]) == (
        "10000",
        "9997",
    )


def test_the_admin_says_how_many_for_everybody_and_for_one_person_from_the_next_call_on(alice, mallory):
    hers, his = program(alice), program(mallory)
    MinuteLimits.objects.create(calls_per_minute=1)
    alice.calls_per_minute = 0
    alice.save()
    assert [his.get(OURS).status_code for _ in range(2)] == [200, 429]
    answer = [hers.get(OPENAIS[0]) for _ in range(3)][-1]
    assert answer.status_code == 200 and "x-ratelimit-limit-requests" not in answer
    MinuteLimits.objects.update(calls_per_minute=None)
    assert his.get(OURS).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_exactly_so_many_calls_are_let_through_however_many_come_at_once(alice, bare_site, settings):  # noqa: F811
    settings.CALLS_PER_MINUTE = 12
    text, statuses = create_token(user=alice, name="x")[1], []

    def call() -> None:
        statuses.extend(raw(f"{bare_site}/v1/batches", token=text)[0] for _ in range(5))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (12, 18)


async def test_all_requests_of_a_process_share_one_client_of_the_cache(settings, monkeypatch):
    settings.CACHES = settings.CACHES | {"counts": dict(settings.CACHES["counts"])}
    made, make = [], caches.create_connection
    monkeypatch.setattr(caches, "create_connection", lambda alias: made.append(alias) or make(alias))
    # Each in a context of its own, as requests are.
    counts = [await asyncio.create_task(sync_to_async(rates.count)("shared")) for _ in range(3)]
    assert [count.used for count in counts] == [1, 2, 3] and made == ["counts"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_cache_that_says_nothing_stops_nobody_and_is_left_alone_for_a_while(
    alice, settings, caplog, is_there
):
    settings.CALLS_PER_MINUTE = 1
    client = program(alice)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if is_there else 1
        counts = as_when_running["counts"] | {"LOCATION": f"redis://127.0.0.1:{port}"}
        settings.CACHES = settings.CACHES | {"counts": counts}
        begun = time.monotonic()
        with caplog.at_level(logging.WARNING, "apex.common.rates"):
            assert [client.get(address).status_code for address in (OURS, OPENAIS[0], OURS)] == [200] * 3
        assert time.monotonic() - begun < 4
    assert len(caplog.records) == 1
