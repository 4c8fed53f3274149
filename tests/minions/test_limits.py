"""How often a minion may be asked in a minute: counted together, whichever door its questions come by."""

import json
import urllib.error
import urllib.request

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts.services import create_token
from minions.conversations import begin_conversation
from minions.services import make_token
from tests.gateway.conftest import bare_site  # noqa: F401 - a fixture
from tests.minions.conftest import read_stream

pytestmark = pytest.mark.django_db(transaction=True)


def by_v1(site: str, token: str):
    """`(status, retry-after, body)`."""
    asked = {"model": "Nora", "messages": [{"role": "user", "content": "Hello?"}]}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{site}/v1/chat/completions", json.dumps(asked).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, None, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers["retry-after"], json.loads(error.read())


def test_the_gateway_the_api_and_the_chat_count_together(make_minion, outside, alice, bare_site, settings):  # noqa: F811
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    minion = make_minion(requests_per_minute=3)
    own, text = make_token(minion=minion)[1], create_token(user=alice, name="x", scopes=["chat"])[1]
    chat = reverse("minions:conversation-ask", args=[begin_conversation(owner=alice, minion=minion).pk])
    browser = AsyncClient()
    browser.force_login(alice)
    api = Client(headers={"authorization": f"Bearer {text}"})
    path = f"/api/v1/minions/{minion.pk}/chat/"

    assert by_v1(bare_site, own)[0] == 200
    assert read_stream(browser, chat, {"text": "Hello?"})[1][-1]["done"]["status"] == "done"
    assert api.post(path, {"message": "Hello?"}, content_type="application/json").status_code == 200

    for token in (own, text):
        status, retry_after, body = by_v1(bare_site, token)
        assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 0 < int(retry_after) <= 60 and "3 questions a minute" in body["error"]["message"]
    refused = api.post(path, {"message": "Hello?"}, content_type="application/json")
    assert refused.status_code == 429 and "3 questions a minute" in refused.json()["error"]["message"]
    _status, events = read_stream(browser, chat, {"text": "Hello?"})
    assert events[-1]["code"] == "rate_limit_exceeded" and "3 questions a minute" in events[-1]["error"]
    assert len(outside[0].seen) == 3


def test_a_token_with_a_limit_asks_minions_no_more_than_that_and_makes_none_of_theirs(
    make_minion, outside, alice
):
    minion = make_minion()
    text = create_token(user=alice, name="x", requests_per_minute=1)[1]
    api = Client(headers={"authorization": f"Bearer {text}"})
    path = f"/api/v1/minions/{minion.pk}/"
    assert api.post(f"{path}chat/", {"message": "Hello?"}, content_type="application/json").status_code == 200
    refused = api.post(f"{path}chat/", {"message": "Hello?"}, content_type="application/json")
    assert refused.status_code == 429 and 0 < int(refused["retry-after"]) <= 60
    assert "Rate limit reached for requests per minute: limit 1," in refused.json()["error"]["message"]
    text = create_token(user=alice, name="y", requests_per_minute=1)[1]
    assert Client(headers={"authorization": f"Bearer {text}"}).post(f"{path}token/").status_code == 403
    assert len(outside[0].seen) == 1
