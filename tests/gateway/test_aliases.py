"""Names of old scripts: whose they are, what they mean, and how they are made by page and API."""

import pytest

from accounts.services import create_token
from base_models.models import BaseModel
from gateway import aliases
from gateway.models import ModelAlias
from serving.deploying import deploy_adapter
from serving.models import Deployment
from serving.models import Status as DeploymentStatus
from serving.nodes import announce_embedded
from tests.gateway.openai_client import Program
from tests.serving.conftest import no_nudges, tiny  # noqa: F401 - fixtures
from tests.serving.factories import make_adapter_row, make_base_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def models(tmp_path):
    return [
        BaseModel.objects.create(
            name=name, display_name=name.title(), source="directory", location=str(tmp_path),
            directory=str(tmp_path), is_on_this_machine=True, sha256="0" * 64,
        )
        for name in ("small", "large")
    ]  # fmt: skip


@pytest.fixture
def script(client, alice):
    _token, text = create_token(user=alice, name="script")
    return {"headers": {"authorization": f"Bearer {text}"}, "content_type": "application/json"}


def test_ones_own_name_comes_before_that_of_the_house(alice, mallory, models):
    small, large = models
    aliases.create_alias(owner=None, name="gpt-4o-mini", base_model=small)
    aliases.create_alias(owner=alice, name="gpt-4o-mini", base_model=large)
    assert aliases.resolved(alice, "gpt-4o-mini") == "large"
    assert aliases.resolved(mallory, "gpt-4o-mini") == "small"
    assert [alias.base_model for alias in aliases.aliases_for(alice)] == [large]


def test_a_dated_name_finds_the_undated_one_unless_it_has_one_of_its_own(alice, models):
    small, large = models
    aliases.create_alias(owner=alice, name="gpt-4o-mini", base_model=small)
    aliases.create_alias(owner=alice, name="gpt-3.5-turbo", base_model=small)
    assert aliases.resolved(alice, "gpt-4o-mini-2024-07-18") == "small"
    assert aliases.resolved(alice, "gpt-3.5-turbo-0125") == "small"
    aliases.create_alias(owner=None, name="gpt-4o-mini-2024-07-18", base_model=large)
    assert aliases.resolved(alice, "gpt-4o-mini-2024-07-18") == "large"


def test_other_names_stay_as_they_are(alice, mallory, models):
    aliases.create_alias(owner=alice, name="mine", base_model=models[0])
    for name in ("small", "ft:small:alice:x:00000000", "unknown", "a\x00b", ""):
        assert aliases.resolved(alice, name) == name
    assert aliases.resolved(mallory, "mine") == "mine"


@pytest.mark.parametrize("name", ["small", "ft:small:alice:x:1", "with space", "", "é", "a" * 121, "mine"])
def test_a_name_that_means_something_else_or_nothing_is_refused(alice, models, name):
    aliases.create_alias(owner=alice, name="mine", base_model=models[0])
    with pytest.raises(aliases.AliasRefused):
        aliases.create_alias(owner=alice, name=name, base_model=models[0])


def test_the_house_has_one_alias_of_a_name(models):
    aliases.create_alias(owner=None, name="gpt-4o-mini", base_model=models[0])
    with pytest.raises(aliases.AliasRefused, match="already"):
        aliases.create_alias(owner=None, name="gpt-4o-mini", base_model=models[1])


def test_a_base_model_that_came_later_keeps_its_own_name(alice, models):
    ModelAlias.objects.create(owner=alice, name="large", base_model=models[0])
    assert aliases.resolved(alice, "large") == "large"


def test_by_the_api_a_name_is_made_changed_and_removed(client, alice, script, models):
    made = client.post("/api/v1/model-aliases/", {"name": "gpt-4o-mini", "base_model": "small"}, **script)
    assert made.status_code == 201 and made.json()["is_own"] is True, made.content
    where = f"/api/v1/model-aliases/{made.json()['id']}/"
    assert client.patch(where, {"base_model": "large"}, **script).json()["base_model"] == "large"
    assert aliases.resolved(alice, "gpt-4o-mini") == "large"
    again = client.post("/api/v1/model-aliases/", {"name": "gpt-4o-mini", "base_model": "small"}, **script)
    assert (again.status_code, again.json()["error"]["field"]) == (400, "name")
    unknown = client.post("/api/v1/model-aliases/", {"name": "x", "base_model": "nope"}, **script)
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (400, "base_model")
    assert client.delete(where, **script).status_code == 204
    assert client.get("/api/v1/model-aliases/", **script).json()["count"] == 0


def test_what_is_the_houses_is_shown_and_only_the_admin_changes_it(client, script, models, admin_client):
    made = admin_client.post(
        "/admin/gateway/modelalias/add/", {"name": "gpt-4", "base_model": str(models[0].pk), "owner": ""}
    )
    assert made.status_code == 302
    alias = ModelAlias.objects.get(owner=None)
    where = f"/api/v1/model-aliases/{alias.pk}/"
    assert client.get(where, **script).json()["is_own"] is False
    assert client.delete(where, **script).status_code == 404
    assert client.patch(where, {"base_model": "large"}, **script).status_code == 404
    taken = admin_client.post(
        "/admin/gateway/modelalias/add/", {"name": "small", "base_model": str(models[0].pk)}
    )
    assert "is a base model here" in taken.content.decode()


def test_on_the_page_a_name_is_made_and_removed(alice_client, alice, mallory_client, models):
    page = alice_client.get("/settings/model-names/")
    assert "No names of your own yet." in page.content.decode()
    alice_client.post("/settings/model-names/", {"name": "gpt-4o-mini", "base_model": str(models[0].pk)})
    alias = ModelAlias.objects.of(alice).get()
    assert "gpt-4o-mini" in alice_client.get("/settings/model-names/").content.decode()
    assert "gpt-4o-mini</code>" not in mallory_client.get("/settings/model-names/").content.decode()
    assert mallory_client.post(f"/settings/model-names/{alias.pk}/delete/").status_code == 404
    bad = alice_client.post("/settings/model-names/", {"name": "small", "base_model": str(models[0].pk)})
    assert bad.status_code == 422 and "is a base model here" in bad.content.decode()
    alice_client.post(f"/settings/model-names/{alias.pk}/delete/")
    assert not ModelAlias.objects.exists()


def test_an_assistant_at_work_is_listed_under_the_name_that_stays(alice, mallory, tiny, no_nudges):  # noqa: F811
    announce_embedded()
    adapter = make_adapter_row(alice, make_base_model(tiny["base"]), tiny["one"])
    deployment = deploy_adapter(adapter=adapter, by=alice)
    alices, mallorys = Program(alice), Program(mallory)

    def listed(program) -> list[str]:
        return [card["id"] for card in program.get("models")[1]["data"]]

    assert deployment.model_name not in listed(alices)  # not yet at work
    Deployment.objects.update(status=DeploymentStatus.ACTIVE)
    assert deployment.model_name in listed(alices) and deployment.model_name not in listed(mallorys)
    assert alices.get(f"models/{deployment.model_name}")[1]["owned_by"] == "alice"
    assert mallorys.get(f"models/{deployment.model_name}")[0] == 404
