"""Tokens by API: what they may be limited to, and that none gives on more than it has."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiToken
from accounts.services import BadToken, create_token

URL = "/api/v1/tokens/"


def bearer(text: str) -> dict:
    return {"headers": {"authorization": f"Bearer {text}"}, "content_type": "application/json"}


@pytest.fixture
def alices_text(alice) -> str:
    return create_token(user=alice, name="own")[1]


def test_a_token_is_made_with_models_and_an_end_and_shown_once(client, alice, alices_text):
    ends = timezone.now() + timedelta(days=3)
    body = {
        "name": "phone",
        "scopes": ["chat"],
        "models": ["apex-demo", "apex-demo "],
        "expires_at": ends.isoformat(),
    }
    made = client.post(URL, body, **bearer(alices_text))
    assert made.status_code == 201
    assert made.json()["token"].startswith("apex_") and made.json()["models"] == ["apex-demo"]
    token = ApiToken.objects.get(name="phone")
    assert (token.user, token.scopes, token.model_names) == (alice, ["chat"], ["apex-demo"])
    assert abs(token.expiry - ends) < timedelta(seconds=1)
    seen = client.get(f"{URL}{token.public_id}/", **bearer(alices_text)).json()
    assert "token" not in seen and seen["models"] == ["apex-demo"] and token.digest not in str(seen)
    assert [row["name"] for row in client.get(URL, **bearer(alices_text)).json()["results"]] == [
        "phone",
        "own",
    ]


def test_a_token_is_ended(client, alices_text, alice):
    other, _ = create_token(user=alice, name="other")
    assert client.delete(f"{URL}{other.public_id}/", **bearer(alices_text)).status_code == 204
    assert not ApiToken.objects.filter(name="other").exists()


def test_mallory_neither_sees_nor_ends_it(client, alice, mallory):
    token, _ = create_token(user=alice, name="own")
    _, mallorys = create_token(user=mallory, name="hers")
    assert client.get(f"{URL}{token.public_id}/", **bearer(mallorys)).status_code == 404
    assert client.delete(f"{URL}{token.public_id}/", **bearer(mallorys)).status_code == 404
    assert [row["name"] for row in client.get(URL, **bearer(mallorys)).json()["results"]] == ["hers"]


@pytest.mark.parametrize(
    "asked",
    [
        {"scopes": ["chat"]},
        {"scopes": ["write"], "models": []},
        {"scopes": ["write"], "models": ["other"]},
        {"scopes": ["write"], "models": ["one"]},
        {"scopes": ["write"], "models": ["one"], "expires_at": "2999-01-01T00:00:00Z"},
    ],
)
def test_a_token_gives_on_no_more_than_it_has(client, alice, asked):
    ends = timezone.now() + timedelta(days=1)
    _, text = create_token(user=alice, name="narrow", scopes=["write"], model_names=["one"], expires_at=ends)
    assert client.post(URL, {"name": "more"} | asked, **bearer(text)).status_code == 400
    assert ApiToken.objects.count() == 1
    less = {"name": "less", "scopes": ["write"], "models": ["one"], "expires_at": ends - timedelta(hours=1)}
    assert client.post(URL, less, **bearer(text)).status_code == 201


@pytest.mark.parametrize(
    "asked",
    [{"name": ""}, {"name": "x", "scopes": ["fly"]}, {"name": "x", "expires_at": "2001-01-01T00:00:00Z"},
     {"name": "x", "models": "all"}, {"name": "x", "models": ["m" * 256]}, {"name": "x", "models": ["m"] * 101}],
)  # fmt: skip
def test_what_no_token_can_be_is_refused(client, alices_text, asked):
    assert client.post(URL, asked, **bearer(alices_text)).status_code == 400


def test_the_page_takes_models_and_days(alice_client, alice):
    fields = {"name": "notebook", "scopes": ["chat"], "model_names": "one\n\n two \n", "days": "7"}
    page = alice_client.post("/settings/tokens/", fields)
    assert page.context["secret"].startswith("apex_")
    token = ApiToken.objects.get(user=alice)
    assert token.model_names == ["one", "two"]
    assert timedelta(days=6) < token.expiry - timezone.now() < timedelta(days=7)
    assert "one, two" in alice_client.get("/settings/tokens/").text


def test_too_many_models_are_refused(alice):
    with pytest.raises(BadToken):
        create_token(user=alice, name="x", model_names=[str(number) for number in range(101)])


def test_a_limit_a_minute_is_kept_and_given_on_at_most(client, alice, alices_text):
    made = client.post(URL, {"name": "slow", "requests_per_minute": 5}, **bearer(alices_text))
    assert (made.status_code, made.json()["requests_per_minute"]) == (201, 5)
    slow = bearer(made.json()["token"])
    for more in ({}, {"requests_per_minute": 6}):
        refused = client.post(URL, {"name": "faster"} | more, **slow)
        assert refused.status_code == 400 and "is 5 a minute" in refused.json()["error"]["message"]
    assert client.post(URL, {"name": "slower", "requests_per_minute": 5}, **slow).status_code == 201
    assert (
        client.post(URL, {"name": "none", "requests_per_minute": 0}, **bearer(alices_text)).status_code == 400
    )
    with pytest.raises(BadToken):
        create_token(user=alice, name="x", requests_per_minute=0)
