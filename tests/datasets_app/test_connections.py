"""Stored credentials: they go in, work, and never come out."""

import json
import logging

import pytest
from django.urls import reverse

from accounts.services import create_token
from apex.common.secrets import Context, open_secret
from datasets_app import services
from datasets_app.models import Connection, Reference
from tests.datasets_app.stores import checked, hub_server, s3_server

pytestmark = pytest.mark.django_db
SECRET = "s3cr3t-s3cr3t-s3cr3t"
LIST, ADD = "/data/connections/", "/data/connections/add/"
API = "/api/v1/connections/"


@pytest.fixture(scope="module")
def s3():
    with s3_server() as running:
        yield running


@pytest.fixture
def loopback(settings):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]


@pytest.fixture
def connection(alice):
    return services.create_connection(
        owner=alice, name="Lab hub", kind="hf", credentials={"token": f"hf_{SECRET}"}
    )


def opened(connection: Connection) -> dict:
    connection.refresh_from_db()
    return json.loads(open_secret(connection.sealed, Context.of(connection, "sealed")))


def page(connection: Connection) -> str:
    return reverse("datasets:connection-detail", args=[connection.pk])


def test_a_connection_is_added_by_page_with_its_key_sealed(alice_client, alice):
    assert "no connection yet" in alice_client.get(LIST).content.decode()
    answer = alice_client.post(ADD, {"kind": "s3", "name": "Lab", "access_key_id": "AKIA12345678WXYZ",
                               "secret_access_key": SECRET, "region": "eu-west-1"})  # fmt: skip
    connection = Connection.objects.get()
    assert answer.status_code == 302 and answer.url == page(connection)
    assert (connection.owner, connection.hint, connection.region) == (alice, "…WXYZ", "eu-west-1")
    assert SECRET not in connection.sealed and opened(connection)["secret_access_key"] == SECRET


def test_no_page_api_admin_or_log_shows_what_was_entered(alice_client, connection, admin_client, caplog):
    caplog.set_level(logging.DEBUG)
    Connection.objects.filter(pk=connection.pk).update(owner=connection.owner)
    shown = ""
    for address in (LIST, ADD, page(connection), API, f"{API}{connection.pk}/"):
        shown += alice_client.get(address).content.decode()
    shown += alice_client.post(ADD, {"kind": "hf", "name": "", "token": SECRET}).content.decode()
    shown += alice_client.post(page(connection), {"name": "", "token": SECRET}).content.decode()
    shown += alice_client.post(API, {"kind": "hf", "name": "Lab hub", "credentials": {"token": SECRET}},
                               content_type="application/json").content.decode()  # fmt: skip
    for address in (
        "/admin/datasets_app/connection/",
        f"/admin/datasets_app/connection/{connection.pk}/change/",
    ):
        answer = admin_client.get(address)
        assert answer.status_code == 200
        shown += answer.content.decode()
    assert "Lab hub" in shown and "…cr3t" in shown
    assert SECRET not in shown + caplog.text + repr(connection) + str(connection.__dict__)
    assert connection.sealed not in shown
    assert SECRET not in repr(services.credentials_of(connection))


def test_changing_it_keeps_the_key_unless_another_is_given(alice_client, connection):
    before = connection.sealed
    assert alice_client.post(page(connection), {"name": "The hub"}).status_code == 302
    connection.refresh_from_db()
    assert (connection.name, connection.sealed) == ("The hub", before)
    alice_client.post(page(connection), {"name": "The hub", "token": "hf_another-token"})
    assert opened(connection) == {"token": "hf_another-token"} and connection.hint == "…oken"


def test_a_key_does_not_follow_the_connection_to_another_host(alice_client, connection, loopback):
    address = {"name": "Lab hub", "endpoint_url": "https://evil.example"}
    answer = alice_client.post(page(connection), address)
    assert answer.status_code == 422 and "enter the credentials" in answer.content.decode()
    connection.refresh_from_db()
    assert connection.endpoint_url == ""
    assert alice_client.post(page(connection), {**address, "token": "hf_for-there"}).status_code == 302


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"), ({"name": "Lab hub"}, "name"), ({"kind": "ftp"}, "kind"),
        ({"credentials": {}}, "token"), ({"credentials": {"token": "a\r\nX-Evil: 1"}}, "token"),
        ({"credentials": {"token": "t", "password": "p"}}, "credentials"), ({"kind": "https"}, "endpoint_url"),
        ({"endpoint_url": "http://169.254.169.254"}, "endpoint_url"),
        ({"endpoint_url": "https://a/?b"}, "endpoint_url"),
        ({"region": "eu west"}, "region"), ({"region": "é"}, "region"), ({"region": "²"}, "region"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_names_its_field(alice_client, connection, wrong, field):
    asked = {"name": "New", "kind": "hf", "credentials": {"token": SECRET}, **wrong}
    answer = alice_client.post(API, asked, content_type="application/json")
    assert answer.status_code == 400 and answer.json()["error"]["field"] == field, answer.json()
    assert Connection.objects.count() == 1 and SECRET not in answer.content.decode()


def test_a_script_makes_changes_tries_and_deletes_one(client, alice, s3, loopback):
    _token, plain = create_token(user=alice, name="x", scopes=["read", "write"])
    header = {"headers": {"authorization": f"Bearer {plain}"}, "content_type": "application/json"}
    asked = {"name": "Lab", "kind": "s3", "endpoint_url": s3.url, "credentials": s3.keys}
    made = client.post(API, asked, **header)
    assert made.status_code == 201 and "credentials" not in made.json()
    address = f"{API}{made.json()['id']}/"
    s3.put("letters", "a.jsonl", b"12345")
    with checked(s3):
        tried = client.post(address + "try/", {"uri": "s3://letters/a.jsonl"}, **header).json()
        assert tried == {"works": True, "message": "“a.jsonl” can be read: 5 bytes."}
        assert client.post(address + "try/", {}, **header).json()["works"]
        wrong = {"credentials": {**s3.keys, "secret_access_key": "wrong"}}
        assert client.patch(address, wrong, **header).status_code == 200
        tried = client.post(address + "try/", {}, **header).json()
        assert not tried["works"] and "SignatureDoesNotMatch" in tried["message"]
    assert client.get(address, **header).json()["used_at"]
    assert client.delete(address, **header).status_code == 204 and not Connection.objects.exists()


def test_trying_says_on_the_page_what_happened(alice_client, alice, loopback):
    with hub_server() as hub:
        hub.gives("/api/whoami-v2", b"{}")
        hub.put("a.jsonl", b"12345", "c0ffee", "blob")
        connection = services.create_connection(
            owner=alice, name="Hub", kind="hf", endpoint_url=hub.url, credentials={"token": "hf_right"}
        )
        address = reverse("datasets:connection-try", args=[connection.pk])
        assert "The hub knows this token" in alice_client.post(address).content.decode()
        for uri, said in [("hf://datasets/alice/letters/a.jsonl", "can be read: 5 bytes"),
                          ("hf://datasets/alice/letters/b.jsonl", "nothing at this address"),
                          ("s3://letters/x", "Choose another one"), ("<b>", "is no kind of address")]:  # fmt: skip
            text = alice_client.post(address, {"uri": uri}).content.decode()
            assert said in text and "<b>" not in text.split("try-uri")[0]


def test_a_key_that_cannot_be_opened_any_more_is_asked_for_again(alice_client, connection, settings):
    settings.SECRET_KEYS = "k" * 40
    answer = alice_client.post(reverse("datasets:connection-try", args=[connection.pk]))
    assert answer.status_code == 200 and "enter them again" in answer.content.decode()


def test_deleting_names_what_is_read_through_it_and_leaves_the_sets(alice_client, connection, version):
    reference = Reference.objects.create(
        owner=connection.owner,
        uri="hf://datasets/a/b/c",
        connection=connection,
        sha256="0" * 64,
        format="messages",
    )
    type(version).objects.filter(pk=version.pk).update(reference=reference)
    text = alice_client.get(page(connection)).content.decode()
    assert "1 set is read through it" in text and "Help desk" in text
    assert alice_client.post(reverse("datasets:connection-delete", args=[connection.pk])).status_code == 302
    reference.refresh_from_db()
    assert reference.connection is None and not Connection.objects.exists()


def test_somebody_elses_connection_is_not_there(mallory_client, connection):
    for address in (page(connection), f"{API}{connection.pk}/"):
        assert mallory_client.get(address).status_code == 404
    assert mallory_client.post(reverse("datasets:connection-try", args=[connection.pk])).status_code == 404
    assert mallory_client.post(reverse("datasets:connection-delete", args=[connection.pk])).status_code == 404
    assert mallory_client.post(f"{API}{connection.pk}/try/").status_code == 404
    assert "Lab hub" not in mallory_client.get(LIST).content.decode()
