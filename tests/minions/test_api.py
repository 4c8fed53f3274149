"""Minions by the API: what a program makes, asks and reads; what belongs to whom."""

import json
from datetime import timedelta

import pytest
from django.test import AsyncClient, Client
from django.utils import timezone

from accounts.services import create_token
from audit.models import AuditEvent
from minions.models import Conversation, Minion, MinionToken
from minions.services import create_minion, make_token
from tests.minions.conftest import FIRST, SECOND, read_stream

pytestmark = pytest.mark.django_db(transaction=True)
MINIONS = "/api/v1/minions/"


def script(user, scopes=("read", "write", "chat")):
    _token, text = create_token(user=user, name="x", scopes=list(scopes))
    return Client(headers={"authorization": f"Bearer {text}"})


def with_token(text):
    return Client(headers={"authorization": f"Bearer {text}"})


@pytest.fixture
def alices(alice):
    return script(alice)


def post(client, url, body=None):
    return client.post(url, json.dumps(body or {}), content_type="application/json")


def test_a_minion_is_made_changed_asked_and_deleted(alices, alice_client, keys, outside):
    made = post(
        alices,
        MINIONS,
        {"name": "Nora", "persona": "You are Nora.", "mode": "provider_only", "chain": [FIRST]},
    )
    assert made.status_code == 201, made.content
    minion = made.json()
    assert (minion["version"], minion["has_token"], minion["chain"][0]["provider"]) == (1, False, "openai")
    url = f"{MINIONS}{minion['id']}/"

    changed = alices.patch(url, json.dumps({"chain": [SECOND]}), content_type="application/json")
    assert (changed.status_code, changed.json()["version"]) == (200, 2)

    answer = post(alices, f"{url}chat/", {"message": "Hello?"}).json()
    assert (answer["text"], answer["provider"], answer["why"]) == (
        "The second says so.",
        "nvidia",
        "first in the chain",
    )
    assert answer["trace"]["stages"][0]["kind"] == "answer" and answer["trace"]["version"] == 2

    stats = alices.get(f"{url}stats/").json()
    assert (stats["answers"], stats["done"], stats["models"][0]["provider"]) == (1, 1, "nvidia")
    # What nobody knows the price of is not said to be free.
    assert (float(stats["cost"]), stats["is_priced"]) == (0, False)
    assert "price not known" in alice_client.get(f"/minions/{minion['id']}/").content.decode()
    assert [each["number"] for each in alices.get(f"{url}versions/").json()] == [2, 1]
    assert alices.get(f"{url}answers/").json()["count"] == 1
    assert alices.delete(url).status_code == 204
    assert not Minion.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "N", "mode": "provider_only"}, "chain"),
        ({"name": "N", "mode": "lora_only"}, "adapter"),
        ({"name": "N", "chain": [{"provider": "moon", "model": "m"}]}, "chain"),
        ({"name": "N", "chain": [FIRST | {"api_key": "sk-1"}]}, "chain"),
        ({"name": "N", "chain": [FIRST], "temperature": 9}, "temperature"),
        ({"name": "N", "chain": [FIRST], "answer_tokens": 0}, "answer_tokens"),
        ({"name": " ", "chain": [FIRST]}, "name"),
    ],
)
def test_what_cannot_be_a_minion_is_refused_by_field(alices, body, field):
    answer = post(alices, MINIONS, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field, answer.json()


def test_two_minions_of_one_name_are_refused(alices, keys):
    body = {"name": "Nora", "chain": [FIRST]}
    assert post(alices, MINIONS, body).status_code == 201
    answer = post(alices, MINIONS, body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "name")


def test_a_stream_tells_stages_words_and_the_end(alice, make_minion, outside):
    _token, text = create_token(user=alice, name="x", scopes=["chat"])
    url = f"{MINIONS}{make_minion().pk}/chat/"
    headers = {"authorization": f"Bearer {text}"}
    _status, events = read_stream(AsyncClient(), url, {"message": "Hello?", "stream": True}, headers=headers)
    assert events[0] == {"stage": {"kind": "answer", "status": "began"}}
    assert "".join(event.get("delta", "") for event in events) == "The first says so."
    assert events[-1]["done"]["model"] == "gpt-4o-mini" and events[-1]["done"]["status"] == "done"


def test_a_conversation_remembers_what_was_said(alices, make_minion, outside):
    minion = make_minion()
    conversation = post(alices, "/api/v1/conversations/", {"minion": str(minion.pk)}).json()
    ask = {"message": "Hello?", "conversation": conversation["id"]}
    post(alices, f"{MINIONS}{minion.pk}/chat/", ask)
    second = post(alices, f"{MINIONS}{minion.pk}/chat/", ask | {"message": "And then?"}).json()
    assert [each["content"] for each in outside[0].seen[-1].body["messages"]] == [
        "You are Nora.", "Hello?", "The first says so.", "And then?",
    ]  # fmt: skip
    found = alices.get(f"/api/v1/conversations/{conversation['id']}/").json()
    assert [each["role"] for each in found["messages"]] == ["user", "assistant"] * 2
    assert found["title"] == "Hello?" and found["shown"] == second["message"]

    url = f"/api/v1/messages/{second['message']}/"
    assert post(alices, f"{url}feedback/", {"kind": "good"}).status_code == 201
    assert post(alices, f"{url}feedback/", {"kind": "good"}).status_code == 204  # taken back
    assert post(alices, f"{url}feedback/", {"kind": "edit", "text": "Better."}).status_code == 201
    assert alices.get(f"{url}trace/").json()["provider"] == "openai"
    made = post(alices, f"{MINIONS}{minion.pk}/improve/", {"kind": "sft"})
    assert made.status_code == 201 and made.json()["rows"] == 1, made.content


def test_a_minions_token_opens_its_minion_and_nothing_else(alices, alice, make_minion, outside):
    minion, other = make_minion(), make_minion(name="Other")
    text = post(alices, f"{MINIONS}{minion.pk}/token/").json()["token"]
    assert text.startswith("minion_") and len(text) == 7 + 32
    assert text not in str(list(MinionToken.objects.values())) + str(list(AuditEvent.objects.values()))
    assert AuditEvent.objects.get(act="token_made", subject_kind="minion").subject_name == "Nora"
    program = with_token(text)
    url = f"{MINIONS}{minion.pk}/"
    assert program.get(url).json()["name"] == "Nora"
    assert post(program, f"{url}chat/", {"message": "Hello?"}).json()["text"] == "The first says so."
    assert program.get(f"{url}stats/").status_code == 200
    for refused in (
        program.patch(url, "{}", content_type="application/json"), program.delete(url), post(program, f"{url}token/"),
        program.get(MINIONS), post(program, MINIONS, {"name": "X", "chain": [FIRST]}), post(program, f"{url}improve/"),
    ):  # fmt: skip
        assert refused.status_code == 403, refused.request["PATH_INFO"]
    assert program.get(f"{MINIONS}{other.pk}/").status_code == 404
    for path in ("datasets/", "conversations/", "provider-keys/", "training/jobs/", "tokens/", "adapters/"):
        assert program.get(f"/api/v1/{path}").status_code in (401, 404), path


def test_a_token_dies_when_it_is_made_anew_ended_or_its_owner_is_locked_out(
    alices, alice, make_minion, outside
):
    minion = make_minion()
    url = f"{MINIONS}{minion.pk}/"
    old = post(alices, f"{url}token/").json()["token"]
    new = post(alices, f"{url}token/").json()["token"]
    assert with_token(old).get(url).status_code == 401
    assert with_token(new).get(url).status_code == 200
    assert alices.delete(f"{url}token/").status_code == 204
    assert with_token(new).get(url).status_code == 401
    _token, text = make_token(minion=minion)
    alice.is_active = False
    alice.save()
    assert with_token(text).get(url).status_code == 401


def test_scopes_of_a_token_hold(alice, make_minion, outside):
    url = f"{MINIONS}{make_minion().pk}/"
    assert post(script(alice, ["read"]), f"{url}chat/", {"message": "x"}).status_code == 403
    assert post(script(alice, ["chat"]), f"{url}chat/", {"message": "x"}).status_code == 200
    assert post(script(alice, ["chat"]), f"{url}token/").status_code == 403


def test_a_token_for_some_models_gets_no_further_by_a_minion(alice, make_minion, outside):
    minion = make_minion()
    url = f"{MINIONS}{minion.pk}/"

    def limited(*names):
        return with_token(create_token(user=alice, name="x", model_names=names)[1])

    other = limited("tiny")
    assert post(other, f"{url}chat/", {"message": "x"}).status_code == 403
    assert post(other, f"{url}token/").status_code == 403
    # Neither does a minion that goes by the name of an allowed model.
    assert post(other, MINIONS, {"name": "tiny", "chain": [FIRST]}).status_code == 403
    change = other.patch(url, json.dumps({"name": "tiny"}), content_type="application/json")
    assert change.status_code == 403 and Minion.objects.get().name == minion.name
    assert not outside[0].seen and not MinionToken.objects.exists()
    assert post(limited(minion.name), f"{url}chat/", {"message": "x"}).status_code == 200
    assert post(limited(str(minion.pk)), f"{url}token/").status_code == 201


def test_a_token_gives_a_minions_token_only_what_it_has(alice, make_minion):
    url = f"{MINIONS}{make_minion().pk}/token/"
    ending = create_token(user=alice, name="x", expires_at=timezone.now() + timedelta(hours=1))[1]
    for client in (script(alice, ["read", "write"]), with_token(ending)):
        assert post(client, url).status_code == 403
    assert not MinionToken.objects.exists()


def test_mallory_reaches_nothing_of_alices(make_minion, mallory, alice, keys, outside):
    minion = make_minion()
    conversation = Conversation.objects.create(owner=alice, minion=minion)
    hers = create_minion(owner=mallory, name="Hers", chain=[FIRST])
    _token, text = make_token(minion=hers)
    for client in (script(mallory), with_token(text)):
        assert client.get(f"{MINIONS}{minion.pk}/").status_code == 404
        assert post(client, f"{MINIONS}{minion.pk}/chat/", {"message": "x"}).status_code == 404
    mallorys = script(mallory)
    asked = {"message": "x", "conversation": str(conversation.pk)}
    assert post(mallorys, f"{MINIONS}{hers.pk}/chat/", asked).status_code == 404
    chain = [FIRST | {"key": str(keys[0].pk)}]
    assert post(mallorys, MINIONS, {"name": "X", "chain": chain}).status_code == 400
    assert not outside[0].seen


def test_the_same_calls_are_below_a_persons_path(
    alices, alice, mallory, make_minion, django_user_model, outside
):
    minion = make_minion()
    for who in ("me", alice.pk):
        found = alices.get(f"/api/v1/users/{who}/minions/").json()
        assert [each["id"] for each in found["results"]] == [str(minion.pk)]
    path = f"/api/v1/users/{alice.pk}/minions/{minion.pk}/"
    assert post(alices, f"{path}chat/", {"message": "Hello?"}).json()["text"] == "The first says so."
    for part in (
        "minions/",
        "knowledge-bases/",
        "provider-keys/",
        "providers/",
        "training/jobs/",
        "datasets/",
        f"minions/{minion.pk}/",
    ):
        assert script(mallory).get(f"/api/v1/users/{alice.pk}/{part}").status_code == 404, part
        assert script(mallory).get(f"/api/v1/users/999999/{part}").status_code == 404
        assert alices.get(f"/api/v1/users/{alice.pk}/{part}").status_code == 200, part
    root = script(django_user_model.objects.create_superuser("root", password="x"))
    assert root.get(path).json()["name"] == "Nora"
    made = post(root, f"/api/v1/users/{alice.pk}/minions/", {"name": "By root", "chain": [FIRST]})
    assert made.status_code == 201 and Minion.objects.get(name="By root").owner == alice
    assert root.get(MINIONS).json()["count"] == 0
