"""`/api/v1/deployments/` and `/api/v1/nodes/`."""

import pytest
from django.test import Client

from accounts.services import create_token
from serving import deploying
from serving.models import Deployment, Node, Status
from serving.nodes import backend_of
from tests.serving.factories import make_adapter_row

pytestmark = pytest.mark.django_db


def script_of(user) -> Client:
    _token, plain = create_token(user=user, name="x", scopes=["read", "write"])
    return Client(headers={"authorization": f"Bearer {plain}"})


@pytest.fixture
def script(alice):
    return script_of(alice)


@pytest.fixture
def root(django_user_model):
    return script_of(django_user_model.objects.create_superuser("root", password="x"))


def post(client, path, **body):
    return client.post(f"/api/v1/{path}", body, content_type="application/json")


def now_is(pk, status) -> None:
    Deployment.objects.filter(pk=pk).update(status=status)


def test_a_deployment_from_asking_to_its_history(script, coach, poet):
    made = post(script, "deployments/", adapter=coach.model_id, why="For the harbour.")
    assert made.status_code == 201
    told = made.json()
    assert told["status"] == "wanted" and told["version"] == 1 and told["parity"] is None
    assert told["model_id"] == coach.model_id and told["base_model"] == "tiny"
    assert "serving_name" not in told
    assert post(script, "deployments/", adapter=str(coach.pk)).json()["id"] == told["id"]
    one = f"deployments/{told['id']}/"
    assert script.get(f"/api/v1/{one}").json() == told
    assert script.get("/api/v1/deployments/", {"adapter": str(coach.pk)}).json()["count"] == 1
    assert script.get("/api/v1/deployments/", {"status": "active"}).json()["count"] == 0

    now_is(told["id"], Status.ACTIVE)
    second = post(script, "deployments/", adapter=str(poet.pk), replaces=told["id"]).json()
    assert second["version"] == 2 and second["replaces"] == told["id"]
    assert second["model_name"] == told["model_name"]
    now_is(told["id"], Status.REPLACED)
    now_is(second["id"], Status.ACTIVE)
    back = post(script, f"deployments/{second['id']}/roll-back/", why="Worse.")
    assert back.status_code == 200 and back.json()["id"] == told["id"]
    history = script.get(f"/api/v1/{one}history/").json()["results"]
    assert [(each["kind"], each["by"], each["message"]) for each in history] == [
        ("deployment.asked", "alice", "For the harbour."),
        ("deployment.rolled_back", "alice", "Worse."),
    ]
    assert post(script, f"deployments/{second['id']}/unload/").json()["status"] == "draining"
    assert post(script, f"deployments/{second['id']}/unload/").status_code == 409


def test_what_cannot_be_is_said_with_the_field(script, coach, mallory, base_model, tiny):
    theirs = make_adapter_row(mallory, base_model, tiny["two"], name="Theirs")
    for key in ("no-such", str(theirs.pk), theirs.model_id):
        refused = post(script, "deployments/", adapter=key)
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, "adapter"), key
    made = post(script, "deployments/", adapter=str(coach.pk)).json()
    for body in ({"replaces": theirs.pk}, {"replaces": "x"}, {"replaces": made["id"]}, {"why": "x" * 501}):
        assert post(script, "deployments/", adapter=str(coach.pk), **body).status_code == 400, body
    assert post(script, f"deployments/{made['id']}/roll-back/").status_code == 409
    assert post(script, f"deployments/{made['id']}/try-again/").status_code == 409
    assert post(script, "deployments/").json()["error"]["field"] == "adapter"


def test_a_stranger_finds_no_deployment(coach, alice, mallory):
    made = deploying.deploy_adapter(adapter=coach, by=alice)
    hers = script_of(mallory)
    assert hers.get("/api/v1/deployments/").json()["count"] == 0
    for path in ("", "history/"):
        assert hers.get(f"/api/v1/deployments/{made.pk}/{path}").status_code == 404
    for path in ("unload/", "roll-back/", "try-again/"):
        assert post(hers, f"deployments/{made.pk}/{path}").status_code == 404


def test_the_list_asks_the_database_as_often_for_many_as_for_few(
    script, coach, poet, alice, django_assert_max_num_queries
):
    for adapter in (coach, poet):
        deploying.deploy_adapter(adapter=adapter, by=alice)
    with django_assert_max_num_queries(8):
        assert script.get("/api/v1/deployments/").json()["count"] == 2


NODE = {
    "name": "gpu-1",
    "address": "http://10.0.0.5:8000/v1/",
    "base_model": "tiny",
    "api_key": "a-long-secret-key",
}


def test_a_server_is_added_changed_and_removed(
    root, base_model, no_nudges, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        made = post(root, "nodes/", **NODE)
    assert made.status_code == 201, made.json()
    told = made.json()
    assert no_nudges == ["serving.tasks.reconcile"]
    assert told["address"] == "http://10.0.0.5:8000" and told["served_name"] == "tiny"
    assert told["most_adapters"] == told["adapter_slots"] == 8
    assert "secret" not in made.content.decode() and told["key_hint"] == "…-key"
    node = Node.objects.get(pk=told["id"])
    assert NODE["api_key"] not in node.sealed_key
    assert backend_of(node)._headers == {"Authorization": f"Bearer {NODE['api_key']}"}

    one = f"/api/v1/nodes/{told['id']}/"
    changed = root.patch(one, {"hardware": "cpu", "most_adapters": 3}, content_type="application/json")
    assert changed.status_code == 200 and changed.json()["most_adapters"] == 3
    moved = root.patch(one, {"address": "http://10.0.0.6:8000"}, content_type="application/json")
    assert (moved.status_code, moved.json()["error"]["field"]) == (400, "api_key")
    assert root.delete(one).status_code == 204 and root.get(one).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": "ftp://x"}, "address"),
        ({"api_key": "first-line\nX-Other: header"}, "api_key"),
        ({"address": "http://user:pass@x"}, "address"),
        ({"address": "http://x?key=1"}, "address"),
        ({"address": "nonsense"}, "address"),
        ({"address": "http://[::1"}, "address"),
        ({"backend": "tgi"}, "backend"),
        ({"backend": "embedded"}, "backend"),
        ({"base_model": "nobody"}, "base_model"),
        ({"most_rank": 7}, "most_rank"),
        ({"adapter_slots": 0}, "adapter_slots"),
        ({"hardware": "cpu", "adapter_slots": 2, "most_adapters": 2}, "most_adapters"),
        ({"hardware": "tpu"}, "hardware"),
        ({"name": ""}, "name"),
    ],
)
def test_a_server_that_could_never_work_is_refused(root, base_model, change, field):
    refused = post(root, "nodes/", **NODE | change)
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, field)


def test_all_servers_of_a_base_call_it_the_same(root, base_model):
    assert post(root, "nodes/", **NODE).status_code == 201
    assert post(root, "nodes/", **NODE).json()["error"]["field"] == "name"
    other = NODE | {"name": "gpu-2", "served_name": "else"}
    assert post(root, "nodes/", **other).json()["error"]["field"] == "served_name"


def test_a_server_that_takes_no_adapters_answers_for_its_base_alone(root, base_model):
    ollama = NODE | {"backend": "ollama", "served_name": "tiny:latest", "api_key": ""}
    made = post(root, "nodes/", **ollama)
    assert made.status_code == 201 and made.json()["most_adapters"] == 0, made.json()
    # Adapters of its base model go on working where they did.
    assert [node.backend for node in Node.objects.pool_of(base_model)] == ["embedded"]
    other = post(root, "nodes/", **NODE | {"name": "gpu-2", "served_name": "tiny:latest"})
    assert other.json()["error"]["field"] == "backend"
    one = f"/api/v1/nodes/{made.json()['id']}/"
    changed = root.patch(one, {"backend": "vllm"}, content_type="application/json")
    assert (changed.status_code, changed.json()["error"]["field"]) == (400, "backend")
    endpoint = NODE | {"backend": "openai_compatible", "name": "hub", "address": "https://x.example/team/v1/"}
    assert root.patch(one, {"is_enabled": False}, content_type="application/json").status_code == 200
    assert post(root, "nodes/", **endpoint).json()["address"] == "https://x.example/team/v1"


def test_the_embedded_process_can_be_taken_out_of_use_and_nothing_else(root, base_model):
    one = f"/api/v1/nodes/{Node.objects.get().pk}/"
    assert root.patch(one, {"address": "http://x"}, content_type="application/json").status_code == 400
    assert root.patch(one, {"is_enabled": False}, content_type="application/json").status_code == 200
    assert root.delete(one).status_code == 409


def test_only_superusers_find_servers(script, base_model):
    pk = Node.objects.get().pk
    assert script.get("/api/v1/nodes/").status_code == 404
    assert script.get(f"/api/v1/nodes/{pk}/").status_code == 404
    assert post(script, "nodes/", **NODE).status_code == 404
    assert script.delete(f"/api/v1/nodes/{pk}/").status_code == 404
