"""The pages of keys."""

import pytest
from django.urls import reverse

from providers.models import ProviderKey
from providers.services import create_key, share_key
from tests.providers.fakes import KEY

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("master")]


@pytest.fixture
def at_openai(openai, settings):
    settings.PROVIDER_URLS = {"openai": f"{openai.url}/v1"}
    return openai


@pytest.fixture
def row(alice):
    return create_key(owner=alice, provider="openai", name="alices-own", key=KEY)


def url(name: str, row=None) -> str:
    return reverse(f"providers:{name}", args=[row.pk] if row else [])


def test_without_a_key_the_page_says_what_to_do(alice_client):
    page = alice_client.get(url("key-list")).content.decode()
    assert "No key of your own yet." in page and url("key-add") in page


def test_a_key_is_added_tested_replaced_and_deleted(alice_client, at_openai):
    add = alice_client.get(url("key-add"), {"provider": "openai"}).content.decode()
    assert "platform.openai.com/api-keys" in add and "Left empty: https://api.openai.com/v1" in add
    made = alice_client.post(url("key-add"), {"provider": "openai", "name": "team", "key": KEY}, follow=True)
    page = made.content.decode()
    row = ProviderKey.objects.get()
    assert "Test it" in page and row.hint in page and KEY not in page
    tested = alice_client.post(url("key-test", row)).content.decode()
    assert "accepts the key" in tested
    alice_client.post(url("key-detail", row), {"name": "team 2", "key": ""})
    row.refresh_from_db()
    assert row.name == "team 2" and row.hint == f"…{KEY[-4:]}"
    alice_client.post(url("key-detail", row), {"name": "team 2", "key": "sk-wrong-0123456789zyxwvu"})
    fragment = alice_client.post(url("key-test", row), headers={"hx-request": "true"}).content.decode()
    assert "refused" in fragment and "<html" not in fragment and "zyxwvu" not in fragment
    assert "refused" in alice_client.get(url("key-list")).content.decode()
    alice_client.post(url("key-delete", row))
    assert not ProviderKey.objects.exists()


def test_a_form_that_is_refused_keeps_what_was_typed_but_the_key(alice_client):
    page = alice_client.post(
        url("key-add"),
        {"provider": "custom", "name": "lab", "base_url": "http://10.0.0.1:8000/v1", "key": KEY},
    )
    text = page.content.decode()
    assert page.status_code == 422 and "http://10.0.0.1:8000/v1" in text and KEY not in text
    assert "ask an admin" in text


def test_strangers_get_404(row, mallory_client):
    assert mallory_client.get(url("key-detail", row)).status_code == 404
    for name in ("key-detail", "key-test", "key-share", "key-delete"):
        assert mallory_client.post(url(name, row)).status_code == 404
    assert "alices-own" not in mallory_client.get(url("key-list")).content.decode()


def test_a_superuser_lends_a_key_and_its_user_sees_that_alone(root, client, alice_client, alice):
    from django.test import Client

    lender = Client()
    lender.force_login(root)
    lent = create_key(owner=root, provider="openai", name="house", key=KEY)
    page = lender.post(url("key-share", lent), {"names": "alice, nobody"})
    assert page.status_code == 422 and "nobody" in page.content.decode()
    lender.post(url("key-share", lent), {"names": "alice"})
    shown = alice_client.get(url("key-list")).content.decode()
    assert "Shared with you" in shown and "house" in shown and lent.hint not in shown
    assert alice_client.get(url("key-detail", lent)).status_code == 404


def test_who_is_no_superuser_cannot_lend(alice_client, row):
    assert "Lend it" not in alice_client.get(url("key-detail", row)).content.decode()
    assert alice_client.post(url("key-share", row), {"with_everybody": "on"}).status_code == 404


def test_the_list_takes_as_many_queries_for_many_keys(
    alice, root, alice_client, django_assert_max_num_queries
):
    for number in range(8):
        create_key(owner=alice, provider="openai", name=f"key {number}", key=KEY)
        lent = create_key(owner=root, provider="anthropic", name=f"lent {number}", key=KEY)
        share_key(row=lent, with_everybody=True, names=["alice"])
    with django_assert_max_num_queries(6):
        page = alice_client.get(url("key-list")).content.decode()
    assert page.count("lent 3") == 1
