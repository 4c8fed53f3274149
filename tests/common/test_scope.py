"""Mallory, with an account and a token of her own, over everything that is Alice's."""

import uuid

import pytest
from asgiref.testing import ApplicationCommunicator
from celery import current_app
from django.test import Client
from django.urls import reverse

from accounts.models import Notice
from accounts.services import create_token
from apex.sockets import socket_routes
from base_models.models import BaseModel
from base_models.services import BUILT_IN
from datasets_app.services import begin_upload, create_connection, make_share_link, record_review
from gateway.batching import create_batch
from gateway.models import ApiFile, FineTune, ModelAlias
from knowledge.models import Document
from knowledge.services import create_base
from ledger.budgets import settle
from ledger.services import set_budget
from minions.models import Conversation, Message, Minion, MinionVersion
from providers.services import create_key
from serving.deploying import deploy_adapter
from serving.exports.models import Export
from serving.nodes import announce_embedded
from tests.common.routes import Route, key_for, own_routes
from tests.ledger.test_budgets import line
from tests.training.factories import make_adapter, make_version
from training import services
from training.models import Chain, Checkpoint, Plan, TrainingJob

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "Alices-very-own-thing"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture
def house(alice, monkeypatch, tmp_path):
    """One of everything that is Alice's, by the name of the URL parameter that leads to it."""
    monkeypatch.setattr(current_app, "send_task", lambda *a, **k: None)
    base_model = BaseModel.objects.create(
        name="tiny", display_name="Tiny", source="built_in", location="/nowhere", is_on_this_machine=True,
        directory=str(BUILT_IN["apex-demo"]),
    )  # fmt: skip
    version = make_version(alice, name=SECRET)
    plan = Plan.objects.create(owner=alice, name=SECRET, dataset_version=version, base_model=base_model)
    job = services.start_job(owner=alice, name=SECRET, dataset_version=version, base_model=base_model)
    adapter = make_adapter(job, tmp_path)
    Checkpoint.objects.create(job=job, token=1, step=3, directory_sha256="0" * 64, reason="interval")
    node = announce_embedded()
    deployment = deploy_adapter(adapter=adapter, by=alice, why=SECRET)
    export = Export.objects.create(owner=alice, adapter=adapter, kind="merged", message=SECRET)
    chain = Chain.objects.create(owner=alice, name=SECRET, base_model=base_model)
    notice = Notice.objects.create(owner=alice, text=SECRET, url="/")
    connection = create_connection(owner=alice, name=SECRET, kind="hf", credentials={"token": SECRET})
    key = create_key(owner=alice, provider="openai", name=SECRET, key=f"sk-{SECRET}")
    imported = begin_upload(owner=alice, length=10, file_name=SECRET)
    token, _plain = create_token(user=alice, name=SECRET, scopes=["read"])
    star = record_review(
        owner=alice, reviewer=alice, dataset=version.dataset, version=version, verdict="star", note=SECRET,
        row={"text": SECRET},
    )  # fmt: skip
    link, _token = make_share_link(version=version, label=SECRET)
    base = create_base(owner=alice, name=SECRET, embedding="words")
    document = Document.objects.create(
        owner=alice, knowledge_base=base, name=SECRET, url=f"https://{SECRET}.example.org/"
    )
    alias = ModelAlias.objects.create(owner=alice, name=SECRET, base_model=base_model)
    file = ApiFile.objects.create(owner=alice, file_name=SECRET, purpose="batch", sha256="0" * 64, size=1)
    tune = FineTune.objects.create(owner=alice, model=SECRET, training_file=file.public_id, seed=1)
    batch = create_batch(
        owner=alice, input_file=file, endpoint="/v1/chat/completions", metadata={"x": SECRET}, token=token
    )
    minion = Minion.objects.create(owner=alice, name=SECRET, persona=SECRET, adapter=adapter)
    MinionVersion.objects.create(minion=minion, number=1, recipe={})
    conversation = Conversation.objects.create(owner=alice, minion=minion, title=SECRET)
    question = Message.objects.create(owner=alice, conversation=conversation, role="user", text=SECRET)
    message = Message.objects.create(
        owner=alice, conversation=conversation, parent=question, role="assistant", text=SECRET
    )
    budget = set_budget(owner=alice, limit=5, is_own=True, name=SECRET)
    settle(None, [line(alice, model=SECRET)])
    return {
        "budget_id": budget.pk, "api-budget": budget.pk,
        "base_id": base.pk, "document_id": document.pk, "api-knowledge-base": base.pk,
        "minion_id": minion.pk, "api-minion": minion.pk,
        "conversation_id": conversation.pk, "api-conversation": conversation.pk,
        "message_id": message.pk, "api-message": message.pk, "user_id": alice.pk,
        "batch_id": batch.public_id,
        "file_id": file.public_id, "fine_tuning_job_id": tune.public_id,
        "alias_id": alias.pk, "api-model-alias": alias.pk, "api-token": token.public_id,
        "job_id": job.pk, "plan_id": plan.pk, "dataset_id": version.dataset_id, "version_id": version.pk,
        "adapter_id": adapter.pk, "notice_id": notice.pk, "token_id": token.public_id, "public_id": token.public_id,
        "number": version.number, "model_id": adapter.model_id, "name": "tiny", "format": "json", "key": "x",
        "link_id": link.pk, "token": "no-such-token", "review_id": star.pk, "api-gold-star": star.pk,
        "uidb36": "x", "path": "x", "file_path": "x", "index": 0, "make": "filter", "step": 3, "kind": "csv",
        "api-job": job.pk, "api-adapter": adapter.pk, "api-dataset": version.dataset_id,
        "key_id": key.pk, "api-provider-key": key.pk,
        "connection_id": connection.pk, "api-connection": connection.pk,
        "import_id": imported.pk, "api-import": imported.pk, "api-upload": imported.pk,
        "api-base-model": "tiny",
        "deployment_id": deployment.pk, "api-deployment": deployment.pk, "node_id": node.pk, "api-node": node.pk,
        "export_id": export.pk, "api-export": export.pk,
        "chain_id": chain.pk, "api-chain": chain.pk, "api-version": version.pk,
    }  # fmt: skip


def arguments(route: Route, house: dict) -> dict:
    """What leads this route to Alice's things. A parameter that this test does not know must be told to it."""
    found = {}
    for parameter in route.parameters:
        key = key_for(route, parameter, house)
        assert key is not None, (
            f"{route.name} has a parameter {parameter!r}: say in `house` what of Alice's it names"
        )
        found[parameter] = house[key]
    return found


@pytest.fixture
def mallorys_browser(mallory):
    client = Client(raise_request_exception=False)
    client.force_login(mallory)
    return client


@pytest.fixture
def mallorys_script(mallory):
    _token, plain = create_token(user=mallory, name="x", scopes=["read", "write", "chat"])
    return Client(raise_request_exception=False, headers={"authorization": f"Bearer {plain}"})


def turned_away(who: str, url: str) -> set[int]:
    """How a door answers who comes by the wrong one: pages know sessions only, `/v1/` tokens only."""
    if who == "mallorys_browser":
        return {401} if url.startswith("/v1/") else set()
    return set() if url.startswith(("/v1/", "/api/")) else {302}


def content(answer) -> str:
    if answer.streaming:
        return ""
    return answer.content.decode(errors="replace")


@pytest.mark.parametrize("who", ["mallorys_browser", "mallorys_script"])
def test_no_route_shows_or_changes_what_is_not_hers(who, request, house):
    client = request.getfixturevalue(who)
    walked = 0
    for route in own_routes():
        leads_to_alice = bool(route.parameters) and set(route.parameters) - {"format", "name", "path"}
        url = reverse(route.name, kwargs=arguments(route, house))
        # The same views below a person's path: whoever is let in by one method is by all.
        for method in METHODS[:2] if "of-user-" in route.name else METHODS:
            answer = client.generic(method, url, "{}", content_type="application/json")
            where = f"{method} {url} ({route.name}) as {who}: {answer.status_code}"
            assert answer.status_code < 500, where
            assert SECRET not in content(answer), f"{where} shows Alice's things"
            if leads_to_alice:
                assert answer.status_code in ({404, 405} | turned_away(who, url)), where
        walked += 1
    assert walked > 30
    assert Plan.objects.filter(name=SECRET).exists() and Notice.objects.get(text=SECRET).read_at is None
    assert TrainingJob.objects.filter(name=SECRET).exists()


def test_a_missing_thing_looks_just_like_a_foreign_one(mallorys_browser, house):
    for route in own_routes():
        if not route.parameters or set(route.parameters) <= {"format", "name", "path"}:
            continue
        given = arguments(route, house)
        wrong = {key: uuid.uuid4() if isinstance(value, uuid.UUID) else value for key, value in given.items()}
        if wrong == given:
            continue
        foreign = mallorys_browser.get(reverse(route.name, kwargs=given))
        missing = mallorys_browser.get(reverse(route.name, kwargs=wrong))
        assert foreign.status_code == missing.status_code, route.name
        same = content(foreign).replace(str(list(given.values())[0]), "") == content(missing).replace(
            str(list(wrong.values())[0]), ""
        )
        assert same or "csrf" in content(foreign).lower(), route.name


def test_nobody_gets_in_without_signing_in(client, house):
    for route in own_routes():
        url = reverse(route.name, kwargs=arguments(route, house))
        answer = client.get(url)
        assert answer.status_code in {301, 302, 401, 403, 404, 405}, f"{url}: {answer.status_code}"
        assert SECRET not in content(answer)


async def test_every_socket_refuses_her_what_is_alices(house, mallory):
    for route in socket_routes:
        parameters = {name: house[name] for name in route.pattern.converters}
        if not parameters:
            continue
        scope = {"type": "websocket", "path": "/", "headers": [], "subprotocols": [], "user": mallory,
                 "url_route": {"kwargs": parameters}}  # fmt: skip
        socket = ApplicationCommunicator(route.callback, scope)
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output())["type"] == "websocket.close", route.name


def test_the_superuser_sees_all_in_the_admin_and_only_their_own_elsewhere(house, django_user_model):
    root = django_user_model.objects.create_superuser("root", password="x")
    client = Client()
    client.force_login(root)
    assert SECRET in client.get("/admin/training/trainingjob/").content.decode()
    assert SECRET not in client.get(reverse("training:job-list")).content.decode()
    assert client.get(reverse("training:job-detail", kwargs={"job_id": house["job_id"]})).status_code == 404
