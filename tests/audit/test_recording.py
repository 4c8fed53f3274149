"""Acts are written down where they are done: signing in, tokens, the admin, deletions."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.models import AllowedPlace, ApiToken
from accounts.services import create_token, revoke_token
from audit.models import Act, AuditEvent
from ledger.services import remove_budget, set_budget

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def acts() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("act", flat=True))


def sign_in(name: str, password: str) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": name, "password": password}, REMOTE_ADDR="10.1.2.3")
    return client


def test_signing_in_and_out_and_failing_to_are_written_down(alice):
    sign_in("alice", PASSWORD).post("/accounts/logout/")
    sign_in("alice", "wrong")
    sign_in("my secret passphrase", "typed one field too early")
    assert acts() == ["login", "logout", "login_failed", "login_failed"]
    first, _out, failed, nobodys = AuditEvent.objects.order_by("pk")
    assert (first.owner, first.via, first.address) == (alice, "page", "10.1.2.3")
    assert (failed.owner, failed.owner_name) == (alice, "alice")
    assert (nobodys.owner, nobodys.owner_name) == (None, "?")
    assert "passphrase" not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_a_token_is_written_down_when_it_is_made_begins_to_be_used_and_ends(alice):
    token, text = create_token(user=alice, name="nightly", scopes=["read"])
    call = {"headers": {"authorization": f"Bearer {text}"}}
    for _ in range(2):
        assert Client().get("/api/v1/tokens/", **call).status_code == 200
    assert acts() == ["token_made", "token_used"]
    used = (
        AuditEvent.objects.last()
        if AuditEvent.objects.first().act == "token_made"
        else AuditEvent.objects.first()
    )
    assert (used.via, used.token_id, used.subject_name) == ("api", token.public_id, "nightly")
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(hours=2))
    Client().get("/api/v1/tokens/", **call)
    revoke_token(token=ApiToken.objects.get())
    assert acts()[2:] == ["token_used", "token_revoked"]
    assert text not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_what_is_done_in_the_admin_is_written_down_with_fields_and_no_values(django_user_model, alice):
    root = django_user_model.objects.create_superuser("root", password=PASSWORD)
    client = Client()
    client.force_login(root)
    place = {"what": "host", "place": "minio.internal", "note": "ours"}
    assert client.post("/admin/accounts/allowedplace/add/", place).status_code == 302
    key = AllowedPlace.objects.get().pk
    client.post(f"/admin/accounts/allowedplace/{key}/change/", place | {"note": "the-new-value"})
    for name in ("a", "b"):
        Group.objects.create(name=name)
    client.post(
        "/admin/auth/group/",
        {
            "action": "delete_selected",
            "post": "yes",
            "_selected_action": [group.pk for group in Group.objects.all()],
        },
    )
    assert not Group.objects.exists()
    found = AuditEvent.objects.filter(via="admin").order_by("pk")
    assert [event.act for event in found] == [
        "admin_added",
        "admin_changed",
        "admin_deleted",
        "admin_deleted",
    ]
    assert found[1].detail["fields"] == ["Why"] and found[1].owner == root
    assert "the-new-value" not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_a_budget_is_written_down_when_it_is_set_changed_and_removed(alice):
    budget = set_budget(owner=alice, limit=5)
    set_budget(owner=alice, limit=7)
    remove_budget(budget=budget)
    assert acts() == [Act.BUDGET_SET, Act.BUDGET_SET, Act.BUDGET_REMOVED]
    assert [event.detail["limit"] for event in AuditEvent.objects.order_by("pk")][:2] == ["5", "7"]
