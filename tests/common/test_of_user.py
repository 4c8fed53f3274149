"""`/api/v1/users/{id|me}/…`: the same calls for oneself and, for superusers, for anybody; strangers get 404."""

import json
from functools import partial

import pytest
from celery import current_app
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.services import create_token
from base_models.models import BaseModel
from base_models.services import BUILT_IN
from datasets_app.models import Dataset
from minions.models import Minion
from providers.models import ProviderKey
from tests.providers.conftest import master, openai  # noqa: F401 - fixtures
from tests.providers.fakes import KEY
from training.models import TrainingJob

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("master")]
EXAMPLES = "\n".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"What is {n}?"},
                {"role": "assistant", "content": f"It is {n}."},
            ]
        }
    )
    for n in range(12)
)
CHAIN = [{"provider": "openai", "model": "gpt-4o-mini"}]


@pytest.fixture
def house(monkeypatch, settings, openai):  # noqa: F811
    """A base model, a provider that answers, a queue that takes anything."""
    settings.PROVIDER_URLS = {"openai": f"{openai.url}/v1"}
    monkeypatch.setattr(current_app, "send_task", lambda *words, **more: None)
    monkeypatch.setattr("training.api.views.estimate_of", lambda *words, **more: {})
    BaseModel.objects.create(
        name="tiny", display_name="Tiny", source="built_in", location="/nowhere", directory=str(BUILT_IN["apex-demo"]),
        is_on_this_machine=True, sha256="0" * 64,
    )  # fmt: skip


@pytest.fixture
def root(django_user_model):
    return django_user_model.objects.create_superuser("root", password="x")


def caller(user) -> Client:
    _token, text = create_token(user=user, name="x")
    return Client(headers={"authorization": f"Bearer {text}"})


def send(client, url: str, body: dict | None = None, method: str = "POST"):
    return client.generic(method, url, json.dumps(body or {}), content_type="application/json")


def all_of_it(client, path: str) -> dict[str, str]:
    """Makes one of each family below `path`, and uses what else there is; returns their ids."""
    post = partial(send, client)
    data = post(f"{path}datasets/", {"name": "Help desk", "text": EXAMPLES})
    assert data.status_code == 201, data.content
    ids = {"datasets": data.json()["id"]}
    job = post(f"{path}training/jobs/", {"name": "Coach", "dataset": ids["datasets"], "base_model": "tiny"})
    assert job.status_code == 201, job.content
    ids["training/jobs"] = job.json()["id"]
    key = post(f"{path}provider-keys/", {"provider": "openai", "name": "team", "key": KEY})
    assert key.status_code == 201, key.content
    ids["provider-keys"] = key.json()["id"]
    minion = post(f"{path}minions/", {"name": "Nora", "chain": CHAIN})
    assert minion.status_code == 201, minion.content
    ids["minions"] = minion.json()["id"]
    ids["providers"] = "openai"
    return ids


EXTRA = (
    ("datasets", "GET", "versions/", 200),
    ("datasets", "GET", "rows/", 200),
    ("datasets", "GET", "report/", 200),
    ("datasets", "GET", "profile/", 200),
    ("datasets", "GET", "versions/1/", 200),
    ("training/jobs", "GET", "events/", 200),
    ("training/jobs", "GET", "metrics/", 200),
    ("training/jobs", "POST", "pause/", 200),
    ("training/jobs", "POST", "resume/", 200),
    ("training/jobs", "POST", "cancel/", 200),
    ("provider-keys", "POST", "test/", 200),
    ("provider-keys", "GET", "models/", 200),
    ("minions", "GET", "stats/", 200),
    ("minions", "GET", "versions/", 200),
    ("minions", "POST", "token/", 201),
)


@pytest.mark.parametrize("who", ["me", "own id", "superuser"])
def test_all_five_families_work_below_a_persons_path(alice, root, house, who):
    client = caller(root if who == "superuser" else alice)
    path = "/api/v1/users/me/" if who == "me" else f"/api/v1/users/{alice.pk}/"
    ids = all_of_it(client, path)
    for family, key in ids.items():
        listed = client.get(f"{path}{family}/").json()["results"]
        assert key in {str(row.get("id") or row.get("name")) for row in listed}, family
        assert client.get(f"{path}{family}/{key}/").status_code == 200, family
    for family, method, action, status in EXTRA:
        answer = send(client, f"{path}{family}/{ids[family]}/{action}", method=method)
        assert answer.status_code in (status, 200, 202), (family, action, answer.content)
    # What was made belongs to the person in the path, whoever made it.
    for kind in (Dataset, TrainingJob, ProviderKey, Minion):
        assert kind.objects.get().owner == alice, kind
    if who == "superuser":
        assert client.get("/api/v1/minions/").json()["count"] == 0
    for family in ("minions", "provider-keys"):
        assert send(client, f"{path}{family}/{ids[family]}/", method="DELETE").status_code == 204


def test_a_stranger_and_nobody_get_404_everywhere(alice, mallory, root, house):
    ids = all_of_it(caller(alice), "/api/v1/users/me/")
    client = caller(mallory)
    bad = [f"{alice.pk}", f"{root.pk}", "999999", "0", "-1", "alice", "٣", "1" * 30]
    for who in bad:
        for family, key in ids.items():
            for url in (f"/api/v1/users/{who}/{family}/", f"/api/v1/users/{who}/{family}/{key}/"):
                assert client.get(url).status_code == 404, url
                assert send(client, url, {"name": "x"}).status_code in (404, 405), url
        for family, method, action, _status in EXTRA:
            assert (
                send(
                    client, f"/api/v1/users/{who}/{family}/{ids[family]}/{action}", method=method
                ).status_code
                == 404
            )
    # Nor does her own path lead to what is not hers.
    for family in ("datasets", "training/jobs", "provider-keys", "minions"):
        assert client.get(f"/api/v1/users/me/{family}/{ids[family]}/").status_code == 404
        assert client.get(f"/api/v1/users/me/{family}/").json()["count"] == 0
    assert Client().get(f"/api/v1/users/{alice.pk}/minions/").status_code == 401
    assert Minion.objects.count() == 1


def test_a_superuser_who_is_none_any_more_gets_404(alice, root, house):
    client = caller(root)
    assert client.get(f"/api/v1/users/{alice.pk}/minions/").status_code == 200
    type(root).objects.filter(pk=root.pk).update(is_superuser=False)
    assert client.get(f"/api/v1/users/{alice.pk}/minions/").status_code == 404


def test_every_call_of_the_five_families_is_below_a_persons_path():
    from apex.api_urls import each_pattern

    families = ("minions/", "providers/", "provider-keys/", "training/jobs/", "datasets/")
    names = {each.name for each in each_pattern if str(each.pattern).removeprefix("^").startswith(families)}
    assert len(names) > 40
    for name in names:
        with pytest.raises(NoReverseMatch, match=r"user_id|users/"):
            reverse(f"of-user-{name}")  # there is such a name, and it wants to know whose
