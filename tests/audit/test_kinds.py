"""Each kind of act is in the log with who, what, when and where, and is found by person, kind, object and date."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.services import create_token
from audit.models import Act, AuditEvent
from gateway.aliases import create_alias, delete_alias
from knowledge.services import create_base, delete_base
from minions.conversations import delete_conversation
from minions.models import Conversation, Minion
from minions.services import make_token
from providers.services import create_key, delete_key, provider_for, share_key
from tests.providers.conftest import master  # noqa: F401 - a fixture
from tests.providers.fakes import KEY

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("master")]
FROM = {"REMOTE_ADDR": "10.1.2.3"}


@pytest.fixture
def root(django_user_model):
    return django_user_model.objects.create_superuser("root", password="correct horse battery")


def told(act: str) -> AuditEvent:
    return AuditEvent.objects.get(act=act)


def caller(user) -> Client:
    _token, text = create_token(user=user, name="script")
    return Client(headers={"authorization": f"Bearer {text}"}, **FROM)


def test_a_key_is_followed_from_its_coming_to_its_end_and_never_shown(alice_client, alice):
    body = {"provider": "openai", "name": "team", "key": KEY}
    made = alice_client.post("/api/v1/provider-keys/", body, content_type="application/json", **FROM)
    url = f"/api/v1/provider-keys/{made.json()['id']}/"
    alice_client.patch(url, {"name": "ours", "key": f"{KEY}x"}, content_type="application/json", **FROM)
    provider_for(alice, "openai")
    alice_client.delete(url, **FROM)
    acts = {event.act: event for event in AuditEvent.objects.filter(subject_kind="provider key")}
    assert set(acts) == {Act.KEY_ADDED, Act.KEY_CHANGED, Act.KEY_USED, Act.KEY_DELETED}
    added = acts[Act.KEY_ADDED]
    assert (added.owner, added.via, added.address) == (alice, "api", "10.1.2.3")
    assert added.subject_name == "team (openai)" and added.subject_id == made.json()["id"]
    assert timezone.now() - added.at < timedelta(minutes=1)
    assert KEY not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_who_uses_a_lent_key_is_who_stands_in_the_log(alice, root):
    row = create_key(owner=root, provider="openai", key=KEY)
    share_key(row=row, with_everybody=True, names=[])
    provider_for(alice, "openai")
    assert told(Act.KEY_USED).owner == alice and told(Act.KEY_SHARED).owner == root
    delete_key(row=row)


def test_a_superuser_who_acts_for_somebody_stands_in_the_log_and_not_that_person(alice, root):
    made = caller(root).post(
        f"/api/v1/users/{alice.pk}/provider-keys/",
        {"provider": "openai", "key": KEY},
        content_type="application/json",
    )
    assert made.status_code == 201
    added = told(Act.KEY_ADDED)
    assert (added.owner, added.via, added.address) == (root, "api", "10.1.2.3") and added.token_id is not None


def test_what_is_deleted_leaves_its_name_and_a_conversation_not_its_words(alice):
    minion = Minion.objects.create(owner=alice, name="Fin-coach")
    talk = Conversation.objects.create(owner=alice, minion=minion, title="My secret illness")
    delete_conversation(conversation=talk)
    delete_base(base=create_base(owner=alice, name="Handbook", embedding="words"))
    names = set(AuditEvent.objects.filter(act=Act.DELETED).values_list("subject_kind", "subject_name"))
    assert names == {("conversation", "Fin-coach"), ("knowledge base", "Handbook")}
    assert all(event.subject_id not in ("", "None") for event in AuditEvent.objects.filter(act=Act.DELETED))


def test_a_minions_token_is_written_down_when_its_use_begins(alice):
    minion = Minion.objects.create(owner=alice, name="Fin-coach")
    _token, text = make_token(minion=minion)
    client = Client(headers={"authorization": f"Bearer {text}"}, **FROM)
    for _ in range(2):
        client.get(f"/api/v1/minions/{minion.pk}/")
    used = told(Act.TOKEN_USED)
    assert (used.owner, used.subject_name) == (alice, "Fin-coach") and text not in str(used.detail)


def test_acts_are_found_by_person_kind_object_and_date_on_the_page_and_by_the_api(alice, mallory, root):
    for owner in (alice, mallory):
        create_alias_and_delete(owner)
    client = Client()
    client.force_login(root)
    day = timezone.now().date()
    looks = {
        "everybody=on": 2, "everybody=on&by=alice": 1, "everybody=on&act=deleted": 2, "everybody=on&act=deployed": 0,
        "everybody=on&q=alices": 1, f"everybody=on&since={day}": 2, f"everybody=on&until={day - timedelta(days=1)}": 0,
        "everybody=on&via=page": 0, "": 0,
    }  # fmt: skip
    for asked, count in looks.items():
        page = client.get(f"{reverse('audit:log')}?{asked}").content.decode()
        shown = sum(page.count(f"{name}s-name") > 0 for name in ("alice", "mallory"))
        found = client.get(f"/api/v1/audit/?{asked.replace('everybody=on', 'everybody=true')}").json()
        deleted = [event for event in found["results"] if event["act"] == "deleted"]
        assert (shown, len(deleted)) == (count, count), asked


def create_alias_and_delete(owner) -> None:
    from tests.serving.factories import make_base_model

    base = make_base_model("/nowhere", name=f"base-of-{owner.username}")
    delete_alias(alias=create_alias(owner=owner, name=f"{owner.username}s-name", base_model=base))
