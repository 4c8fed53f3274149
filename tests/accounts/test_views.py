"""Settings and the bell, through HTTP; signing up, in and out."""

import pytest
from django.test import Client

from accounts.models import ApiToken, Notice
from accounts.notices import notify
from accounts.services import create_token

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def sign_up(client, **changes):
    fields = {
        "username": "newcomer",
        "email": "",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "time_zone": "Europe/Berlin",
    }
    return client.post("/accounts/signup/", fields | changes)


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/signup/"])
def test_the_door_opens_for_a_stranger(client, path):
    page = client.get(path)
    assert page.status_code == 200
    assert "<script>" not in page.text and "style=" not in page.text


def test_signing_up_needs_a_name_and_a_password_and_takes_the_browsers_time_zone(client, django_user_model):
    assert sign_up(client).status_code == 302
    user = django_user_model.objects.get(username="newcomer")
    assert user.time_zone == "Europe/Berlin"
    assert client.get("/settings/").status_code == 200


def test_a_time_zone_that_does_not_exist_becomes_utc(client, django_user_model):
    sign_up(client, time_zone="Mars/Olympus")
    assert django_user_model.objects.get(username="newcomer").time_zone == "UTC"


def test_two_different_passwords_are_named_at_the_field(client):
    page = sign_up(client, password2="something else 1")
    assert page.status_code == 200
    assert 'id="id_password2_error"' in page.text
    assert 'value="newcomer"' in page.text


def test_signing_in_and_out(client, alice):
    assert client.post("/accounts/login/", {"login": "alice", "password": "wrong"}).status_code == 200
    assert client.post("/accounts/login/", {"login": "alice", "password": PASSWORD}).status_code == 302
    assert client.get("/settings/").status_code == 200
    assert client.post("/accounts/logout/").status_code == 302
    assert client.get("/settings/").status_code == 302


def test_a_visit_alone_does_not_sign_out(alice_client):
    assert alice_client.get("/accounts/logout/").status_code == 200
    assert alice_client.get("/settings/").status_code == 200


def test_the_password_can_be_changed(alice_client, alice):
    fields = {"oldpassword": PASSWORD, "password1": "a quite new secret", "password2": "a quite new secret"}
    assert alice_client.get("/accounts/password/change/").status_code == 200
    assert alice_client.post("/accounts/password/change/", fields).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("a quite new secret")


@pytest.mark.parametrize("path", ["/settings/", "/settings/tokens/", "/settings/notices/"])
def test_a_stranger_is_sent_to_the_door(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.url.startswith("/accounts/login/")


def test_the_profile_keeps_name_address_and_zone(alice_client, alice):
    fields = {"first_name": "Alice", "email": "alice@example.org", "time_zone": "Asia/Tokyo"}
    assert alice_client.post("/settings/", fields).status_code == 302
    alice.refresh_from_db()
    assert (alice.first_name, alice.email, alice.time_zone) == ("Alice", "alice@example.org", "Asia/Tokyo")


def test_an_unknown_zone_is_refused(alice_client, alice):
    page = alice_client.post("/settings/", {"first_name": "", "email": "", "time_zone": "Mars/Olympus"})
    assert page.status_code == 200
    alice.refresh_from_db()
    assert alice.time_zone == "UTC"


def test_pages_show_the_zone_of_their_reader(alice_client, alice):
    alice.time_zone = "Asia/Tokyo"
    alice.save()
    assert 'data-time-zone="Asia/Tokyo"' in alice_client.get("/settings/").text


def test_a_token_is_shown_once(alice_client, alice):
    page = alice_client.post("/settings/tokens/", {"name": "notebook", "scopes": ["read"]})
    secret = page.context["secret"]
    assert secret.startswith("apex_") and secret in page.text
    token = ApiToken.objects.get(user=alice)
    assert token.name == "notebook" and token.scopes == ["read"]
    again = alice_client.get("/settings/tokens/").text
    assert secret not in again and token.digest not in again and "notebook" in again


def test_a_token_without_scopes_is_refused(alice_client):
    page = alice_client.post("/settings/tokens/", {"name": "notebook"})
    assert page.status_code == 200 and 'id="id_scopes_error"' in page.text
    assert not ApiToken.objects.exists()


def test_a_revoked_token_is_gone(alice_client, alice):
    token, _ = create_token(user=alice, name="notebook")
    assert alice_client.post(f"/settings/tokens/{token.public_id}/revoke/").status_code == 302
    assert not ApiToken.objects.exists()


def test_mallory_cannot_end_or_see_the_token_of_alice(alice, mallory_client):
    token, _ = create_token(user=alice, name="alices-notebook")
    assert mallory_client.post(f"/settings/tokens/{token.public_id}/revoke/").status_code == 404
    assert ApiToken.objects.exists()
    assert "alices-notebook" not in mallory_client.get("/settings/tokens/").text


def test_the_bell_shows_what_is_new_and_forgets_it_when_read(alice_client, alice):
    notify(owner=alice, text="Fin-coach is done", url="/somewhere/")
    page = alice_client.get("/settings/notices/")
    assert 'data-unread="1"' in page.text and "Fin-coach is done" in page.text
    assert 'data-unread="0"' in alice_client.post("/settings/notices/read/").text


def test_a_notice_leads_to_what_it_tells_of(alice_client, alice):
    notice = notify(owner=alice, text="Fin-coach is done", url="/settings/tokens/")
    answer = alice_client.get(f"/settings/notices/{notice.pk}/")
    assert answer.status_code == 302 and answer.url == "/settings/tokens/"
    notice.refresh_from_db()
    assert notice.read_at is not None


def test_mallory_sees_and_reads_none_of_the_notices_of_alice(alice, mallory_client):
    notice = notify(owner=alice, text="Fin-coach is done", url="/settings/")
    assert "Fin-coach" not in mallory_client.get("/settings/notices/").text
    assert mallory_client.get(f"/settings/notices/{notice.pk}/").status_code == 404
    mallory_client.post("/settings/notices/read/")
    assert Notice.objects.get().read_at is None


def test_the_list_behind_the_bell_costs_the_same_for_one_and_for_many(
    alice_client, alice, django_assert_max_num_queries
):
    for number in range(30):
        notify(owner=alice, text=f"Training {number} is done")
    with django_assert_max_num_queries(4):
        page = alice_client.get("/settings/notices/")
    assert page.text.count("data-notice=") == 20


def test_a_missing_page_says_so_in_our_words(client):
    page = client.get("/no-such-page/")
    assert page.status_code == 404
    assert "There is no such page here" in page.text


def test_a_form_without_its_token_is_told_what_to_do(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    page = client.post("/settings/", {"first_name": "x"})
    assert page.status_code == 403
    assert "reload the page" in page.text
