"""Out of the box: an adapter goes to work in the process that comes with Apex."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from serving import deploying, reconcile, services
from serving.models import Health, Node, Placement, Status
from serving.nodes import announce_embedded
from serving.protocol import ChatRequest
from tests.serving.factories import make_base_model, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def base_model(tiny, no_nudges, embedded, settings):
    settings.EMBEDDED_URL = embedded.url
    announce_embedded()
    return make_base_model(tiny["base"])


def put_to_work(adapter):
    deployment = deploying.deploy_adapter(adapter=adapter, by=adapter.owner)
    reconcile.reconcile()
    deployment.refresh_from_db()
    return deployment


def answer(user, model_id) -> str:
    async def ask():
        target = await services.resolve_model(user=user, model_id=model_id)
        messages = [{"role": "user", "content": "Hello"}]
        request = ChatRequest(model=model_id, messages=messages, max_tokens=8, temperature=0)
        return (await services.backend_for(target).chat(target, request)).text

    return async_to_sync(ask)()


def test_it_answers_under_the_name_that_stays_as_under_its_own(coach, alice):
    deployment = put_to_work(coach)
    assert deployment.status == Status.ACTIVE, deployment.message
    assert answer(alice, deployment.model_name) == answer(alice, coach.model_id) != ""


def test_the_process_announces_itself_once_and_what_the_house_decides_stays(base_model):
    Node.objects.update(is_enabled=False)
    announce_embedded()
    assert Node.objects.count() == 1 and not Node.objects.get().is_enabled


def test_a_process_that_is_away_is_said_to_be(base_model, coach, settings, tmp_path):
    settings.EMBEDDED_URL = f"unix://{tmp_path}/nobody.sock"
    reconcile.ASK_SECONDS, before = 0.3, reconcile.ASK_SECONDS
    try:
        deployment = put_to_work(coach)
    finally:
        reconcile.ASK_SECONDS = before
    assert deployment.status == Status.WANTED and Node.objects.get().health == Health.AWAY


def test_with_the_first_server_of_its_own_the_base_moves_there(base_model, coach, server):
    deployment = put_to_work(coach)
    node = make_node(server, base_model)
    reconcile.reconcile()
    assert [placement.node for placement in deployment.placements.all()] == [node]
    assert list(server.adapters) == [deployment.serving_name]
    assert Placement.objects.filter(node__backend="embedded").count() == 0


def writes_of_a_look() -> list[str]:
    with CaptureQueriesContext(connection) as asked:
        reconcile.reconcile()
    return [each["sql"] for each in asked if not each["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))]


def test_an_idle_site_writes_nothing_but_once_a_minute_that_it_was_seen(base_model, coach):
    put_to_work(coach)
    assert writes_of_a_look() == []
    seen = Node.objects.get().last_seen_at
    Node.objects.update(last_seen_at=seen - timedelta(minutes=2))
    written = writes_of_a_look()
    assert written and all("serving_node" in each for each in written if each.startswith("UPDATE"))
    assert Node.objects.get().last_seen_at > seen and writes_of_a_look() == []
    # What somebody wants is still done at the next look.
    second = deploying.deploy_adapter(adapter=coach, by=coach.owner)
    reconcile.reconcile()
    second.refresh_from_db()
    assert second.status == Status.ACTIVE
