"""`/api/v1/providers/` and `/api/v1/provider-keys/`: in by its owner, out to nobody."""

import json

import pytest
from django.test import Client

from accounts.services import create_token
from providers.models import ProviderKey
from providers.services import create_key, share_key
from tests.providers.fakes import KEY

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("master")]
KEYS = "/api/v1/provider-keys/"


@pytest.fixture
def at_openai(openai, settings):
    settings.PROVIDER_URLS = {"openai": f"{openai.url}/v1"}
    return openai


def post(client, url, body=None, method="POST"):
    return client.generic(method, url, json.dumps(body or {}), content_type="application/json")


def test_providers_say_what_they_can_and_whether_one_has_a_key(alice_client, alice):
    create_key(owner=alice, provider="openai", key=KEY)
    rows = {row["name"]: row for row in alice_client.get("/api/v1/providers/").json()["results"]}
    assert set(rows) == {"openai", "anthropic", "nvidia", "huggingface", "ollama", "custom", "apex"}
    assert rows["openai"]["has_key"] and not rows["anthropic"]["has_key"]
    assert "embeddings" in rows["openai"]["abilities"] and "embeddings" not in rows["anthropic"]["abilities"]
    assert rows["apex"]["has_key"] and not rows["apex"]["needs_key"]
    assert rows["ollama"]["takes_address"] and not rows["ollama"]["needs_key"]
    assert (
        rows["openai"]["takes_address"] and rows["openai"]["default_address"] == "https://api.openai.com/v1"
    )
    assert alice_client.get("/api/v1/providers/openai/").json() == rows["openai"]
    assert alice_client.get("/api/v1/providers/nobody/").status_code == 404


def test_a_key_goes_in_and_never_comes_out(alice_client, at_openai):
    made = post(alice_client, KEYS, {"provider": "openai", "name": "team", "key": KEY})
    assert made.status_code == 201
    row = made.json()
    assert row["hint"] == f"…{KEY[-4:]}" and row["is_own"] and not row["is_shared"]
    url = f"{KEYS}{row['id']}/"
    tested = post(alice_client, f"{url}test/")
    assert tested.json() == {
        "works": True,
        "message": "OpenAI accepts the key; it offers 6 models.",
        "kind": None,
    }
    models = alice_client.get(f"{url}models/").json()
    assert models["count"] == 6 and models["results"][0]["price"]["source"].startswith("genai-prices")
    changed = post(alice_client, url, {"name": "other", "key": "sk-wrong-0123456789zyxwvu"}, "PATCH")
    assert changed.json()["name"] == "other" and changed.json()["tested_at"] is None
    refused = post(alice_client, f"{url}test/").json()
    assert (refused["works"], refused["kind"]) == (False, "auth")
    failed = alice_client.get(f"{url}models/")
    assert failed.status_code == 502 and failed.json()["error"]["code"] == "provider_key_refused"
    for answer in (made, tested, changed, failed, alice_client.get(KEYS), alice_client.get(url)):
        assert KEY not in answer.content.decode() and "zyxwvu"[:-4] not in answer.content.decode()
    assert post(alice_client, url, method="DELETE").status_code == 204
    assert not ProviderKey.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "nobody", "key": KEY}, "provider"),
        ({"provider": "openai"}, "key"),
        ({"provider": "custom", "key": KEY, "base_url": "https://10.0.0.1/v1"}, "base_url"),
        ({"key": KEY}, "provider"),
    ],
)
def test_what_cannot_be_kept_is_a_400_that_names_the_field(alice_client, body, field):
    answer = post(alice_client, KEYS, body)
    assert answer.status_code == 400 and answer.json()["error"]["field"] == field
    assert KEY not in answer.content.decode()


def test_a_stranger_finds_nothing(alice, mallory_client):
    row = create_key(owner=alice, provider="openai", name="alices", key=KEY)
    url = f"{KEYS}{row.pk}/"
    assert mallory_client.get(KEYS).json()["count"] == 0
    for method, where in (
        ("GET", url), ("PATCH", url), ("DELETE", url), ("POST", f"{url}test/"), ("GET", f"{url}models/")
    ):  # fmt: skip
        assert post(mallory_client, where, method=method).status_code == 404, (method, where)
    assert ProviderKey.objects.filter(pk=row.pk).exists()


def test_a_lent_key_can_be_used_and_neither_read_nor_changed(root, mallory_client, at_openai):
    row = create_key(owner=root, provider="openai", name="house", key=KEY)
    share_key(row=row, with_everybody=True, names=[])
    url = f"{KEYS}{row.pk}/"
    seen = mallory_client.get(url).json()
    assert (seen["name"], seen["is_own"], seen["hint"], seen["base_url"]) == ("house", False, "", "")
    assert mallory_client.get(f"{url}models/").json()["count"] == 6
    for method, where in (("PATCH", url), ("DELETE", url), ("POST", f"{url}test/")):
        assert post(mallory_client, where, {"name": "mine"}, method).status_code == 404
    assert mallory_client.get("/api/v1/providers/openai/").json()["shared_keys"] == 1


def test_sharing_is_for_superusers(alice_client, alice, root):
    row = create_key(owner=alice, provider="openai", key=KEY)
    assert post(alice_client, f"{KEYS}{row.pk}/", {"is_shared": True}, "PATCH").status_code == 403
    client = Client()
    client.force_login(root)
    lent = create_key(owner=root, provider="openai", key=KEY)
    answer = post(client, f"{KEYS}{lent.pk}/", {"shared_with": ["alice"]}, "PATCH").json()
    assert answer["shared_with"] == ["alice"] and not answer["is_shared"]
    assert post(client, f"{KEYS}{lent.pk}/", {"shared_with": ["who"]}, "PATCH").status_code == 400
    assert alice_client.get(KEYS, {"ordering": "name"}).json()["count"] == 2


def test_a_tokens_scopes_hold(alice, at_openai):
    row = create_key(owner=alice, provider="openai", key=KEY)
    _token, plain = create_token(user=alice, name="reads", scopes=["read"])
    client = Client(headers={"authorization": f"Bearer {plain}"})
    assert client.get(KEYS).status_code == 200
    assert post(client, KEYS, {"provider": "openai", "key": KEY}).status_code == 403
    assert post(client, f"{KEYS}{row.pk}/test/").status_code == 403
