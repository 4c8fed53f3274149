"""Who may ask, which models, how often and how long: all of it holds within a second, also on the hot path."""

import json
import threading
import time
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import ApiToken
from accounts.services import create_token, revoke_token
from apex.common.rates import TooMany, duration
from base_models.models import BaseModel
from gateway.endpoints import error_response
from gateway.hot.callers import Caller
from gateway.hot.limits import Limits
from serving.protocol import ApiError
from tests.gateway.hot import HELLO, client_of
from tests.gateway.test_hot_path import alices, mock  # noqa: F401 - fixtures
from tests.gateway.test_openai_client import raw
from tests.serving.factories import make_adapter_row
from training.models import Adapter


def last_answered(client, seconds: float) -> float | None:
    """How many seconds from now on the last question was asked that was answered; None: none was refused with 401."""
    begun = asked_at = time.monotonic()
    last = 0.0
    while asked_at - begun < seconds:
        if client.ask(HELLO)[0] == 401:
            return last
        last = asked_at - begun
        time.sleep(0.02)
        asked_at = time.monotonic()
    return None


@pytest.mark.parametrize("how", ["revoked", "deactivated", "ended"])
def test_what_a_token_may_not_do_any_more_it_cannot_within_a_second(mock, alices, alice, how):  # noqa: F811
    assert alices.ask(HELLO)[0] == 200
    token = ApiToken.objects.get()
    if how == "revoked":
        revoke_token(token=token)
    elif how == "deactivated":
        alice.is_active = False
        alice.save()
    else:
        ApiToken.objects.update(expiry=timezone.now())
    last = last_answered(alices, 3)
    assert last is not None and last < 1


def test_a_token_ends_at_its_time(mock, bare_site, alice):  # noqa: F811
    client = client_of(bare_site, alice, expires_at=timezone.now() + timedelta(seconds=2))
    assert client.ask(HELLO)[0] == 200
    time.sleep(2.1)
    assert client.error(HELLO)[1]["code"] == "invalid_api_key"


def test_a_token_for_some_models_asks_and_sees_no_others(mock, bare_site, alice):  # noqa: F811
    client = client_of(bare_site, alice, model_names=["other"])
    status, error = client.error(HELLO)
    assert (status, error["code"], error["param"]) == (403, "model_not_allowed", "model")
    assert not mock.asked
    assert raw(f"{bare_site}/v1/models", token=client.token)[2]["data"] == []
    assert raw(f"{bare_site}/v1/models/tiny", token=client.token)[0] == 403
    _, text = create_token(user=alice, name="x", model_names=["tiny"])
    assert [card["id"] for card in raw(f"{bare_site}/v1/models", token=text)[2]["data"]] == ["tiny"]
    assert client_of(bare_site, alice, model_names=["tiny"]).ask(HELLO)[0] == 200


def test_exactly_so_many_are_let_through_however_many_ask_at_once(mock, bare_site, alice):  # noqa: F811
    alice.requests_per_minute = 25
    alice.save()
    statuses, headers = [], []

    def ask() -> None:
        client = client_of(bare_site, alice)  # many tokens of one person have one limit
        for _ in range(10):
            status, told, content = client.ask(HELLO)
            statuses.append(status)
            headers.append(told)
            if status == 429:
                assert json.loads(content)["error"]["code"] == "rate_limit_exceeded"
                assert 0 < int(told["retry-after"]) <= 61
                assert told["x-ratelimit-limit-requests"] == "25"
                assert told["x-ratelimit-remaining-requests"] == "0"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (25, 55)
    good = [told for told, status in zip(headers, statuses, strict=True) if status == 200]
    assert sorted(int(told["x-ratelimit-remaining-requests"]) for told in good) == list(range(25))
    assert {told["x-ratelimit-limit-requests"] for told in good} == {"25"}
    assert len(mock.asked) == 25


def test_what_the_admin_says_of_everybody_holds_within_a_second_while_people_ask(
    mock, bare_site, alice, django_user_model, settings  # noqa: F811
):  # fmt: skip
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    client, root = client_of(bare_site, alice), Browser()
    root.force_login(django_user_model.objects.create_superuser("root", password="x"))
    assert client.ask(HELLO)[1]["x-ratelimit-limit-requests"] == "10000"
    asked = {"requests_per_minute": "60", "tokens_per_minute": "70000"}
    assert root.post("/admin/ledger/minutelimits/add/", asked).status_code == 302
    assert seconds_until_told(client, "60", "70000") < 1.2
    assert 429 in [client.ask(HELLO)[0] for _ in range(61)]
    assert root.post("/admin/ledger/minutelimits/1/change/", {}).status_code == 302
    assert seconds_until_told(client, "10000", None) < 1.2


def seconds_until_told(client, requests: str, tokens: str | None) -> float:
    begun = time.monotonic()
    told = None
    while told != (requests, tokens) and time.monotonic() - begun < 3:
        time.sleep(0.05)
        headers = client.ask(HELLO)[1]
        told = headers["x-ratelimit-limit-requests"], headers["x-ratelimit-limit-tokens"]
    return time.monotonic() - begun


def test_tokens_are_counted_when_an_answer_has_ended(mock, bare_site, alice):  # noqa: F811
    alice.tokens_per_minute = 10
    alice.save()
    client = client_of(bare_site, alice)
    assert [client.ask(HELLO)[0] for _ in range(3)] == [200, 200, 429]  # seven each
    status, error = client.error(HELLO)
    assert (status, error["type"]) == (429, "tokens")


def test_a_window_is_a_minute_from_its_first_request(alice):
    now = [100.0]
    limits = Limits(lambda: now[0])
    caller = Caller(alice, "t", frozenset(), None, None, 2, 0)
    limits.take(caller), limits.take(caller)
    with pytest.raises(TooMany) as caught:
        limits.take(caller)
    assert caught.value.retry_after == 60
    now[0] += 59.9
    with pytest.raises(TooMany):
        limits.take(caller)
    now[0] += 0.2
    assert dict(limits.headers(caller, limits.take(caller)))[b"x-ratelimit-remaining-requests"] == b"1"


@pytest.mark.parametrize(("seconds", "told"), [(0.12, "120ms"), (6.5, "6.5s"), (60, "1m0s"), (59, "59s")])
def test_a_time_is_told_as_openai_does(seconds, told):
    assert duration(seconds) == told


@pytest.mark.usefixtures("mock")
def test_a_kept_checkpoint_is_deleted_and_what_is_not_ones_own_is_not(bare_site, alice, mallory, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    last = make_adapter_row(alice, BaseModel.objects.get(), tmp_path / "adapter")
    kept = make_adapter_row(alice, BaseModel.objects.get(), tmp_path / "adapter", name="Kept")
    Adapter.objects.filter(pk=kept.pk).update(step=3)
    alices_text = create_token(user=alice, name="x")[1]
    mallorys_text = create_token(user=mallory, name="x")[1]
    reading = create_token(user=alice, name="x", scopes=["read"])[1]

    def delete(name, token):
        status, _, body = raw(f"{bare_site}/v1/models/{name}", "DELETE", token=token)
        return status, body.get("error", body).get("code")

    assert delete(kept.model_id, mallorys_text) == (404, "model_not_found")
    assert delete(kept.model_id, reading) == (403, "missing_scope")
    assert delete("tiny", alices_text) == (403, "not_your_model")
    assert delete(last.model_id, alices_text) == (409, "model_in_use")
    assert delete("a%00b", alices_text) == (404, "model_not_found")
    status, _, body = raw(f"{bare_site}/v1/models/{kept.model_id}", "DELETE", token=alices_text)
    assert (status, body) == (200, {"id": kept.model_id, "object": "model", "deleted": True})
    assert delete(kept.model_id, alices_text) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("status", "code", "again", "should"),
    [
        (429, "rate_limit_exceeded", "2", None),
        (503, "backend_unavailable", "2", None),
        (429, "insufficient_quota", None, "false"),
        (404, None, None, None),
    ],
)
def test_a_refusal_says_whether_asking_again_helps(status, code, again, should):
    answer = error_response(ApiError("No.", status=status, code=code))
    assert (answer.get("retry-after"), answer.get("x-should-retry")) == (again, should)


def test_a_token_with_a_limit_of_its_own_asks_no_more_and_others_of_its_user_go_on(mock, bare_site, alice):  # noqa: F811
    limited, other = client_of(bare_site, alice, requests_per_minute=2), client_of(bare_site, alice)
    for left in "10":
        status, headers, _content = limited.ask(HELLO)
        told = headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]
        assert (status, told) == (200, ("2", left))
    status, headers, content = limited.ask(HELLO)
    assert (status, json.loads(content)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert b"limit 2, used 2" in content and 0 < int(headers["retry-after"]) <= 61
    status, headers, _content = other.ask(HELLO)
    assert (status, headers["x-ratelimit-limit-requests"]) == (200, "10000")
    assert len(mock.asked) == 3


def test_a_tokens_limit_cannot_be_more_than_its_users(alice):
    limits = Limits(lambda: 1000.0)
    caller = Caller(alice, "t", frozenset(), None, None, 1, 0, token_requests=5)
    window = limits.take(caller)
    assert dict(limits.headers(caller, window))[b"x-ratelimit-limit-requests"] == b"1"
    with pytest.raises(TooMany):
        limits.take(caller)
