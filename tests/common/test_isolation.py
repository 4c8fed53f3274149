"""Mallory knows every id and every name of Alice's, and has a session, a token and a minion's token of her own. What
she asks with them is answered as if those ids were nobody's; nothing of Alice's is shown, asked, used or changed."""

import json
import re
import urllib.error
import urllib.request
import uuid

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.apps import apps
from django.test import Client
from django.urls import reverse

from accounts.notices import notify
from accounts.services import create_token
from apex.asgi import application
from apex.sockets import socket_routes
from gateway.hot.requests import KINDS
from knowledge.models import Chunk, Document, KnowledgeIndex
from knowledge.services import create_base
from minions.conversations import begin_conversation
from minions.models import Message
from minions.services import create_minion, make_token
from providers.services import create_key
from tests.common.routes import key_for, own_routes
from tests.common.test_scope import SECRET, house  # noqa: F401 - a fixture among them
from tests.gateway.conftest import bare_site  # noqa: F401 - a fixture
from tests.minions.conftest import FIRST, nothing_seen, outside, servers  # noqa: F401 - fixtures
from tests.providers.fakes import KEY

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = [{"role": "user", "content": "Hello?"}]
# What a minion's own token opens, of its own minion.
OPEN = ("api-minion-detail", "api-minion-chat", "api-minion-stats")


class NoOtherAddress(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


OPENER = urllib.request.build_opener(NoOtherAddress)


@pytest.fixture
def alices(house, alice):  # noqa: F811
    """Ids and names of hers, by what they are."""
    document = Document.objects.get(pk=house["document_id"])
    index = KnowledgeIndex.objects.get(knowledge_base=document.knowledge_base)
    piece = Chunk.objects.create(
        owner=alice, document=document, index=index, number=0, ordinal=0, text=SECRET, start=0, end=5
    )
    return {
        "minion": house["minion_id"], "adapter": house["adapter_id"], "base": house["base_id"],
        "document": house["document_id"], "piece": piece.pk, "key": house["key_id"],
        "conversation": house["conversation_id"], "message": house["message_id"], "budget": house["budget_id"],
        "token": house["token_id"], "dataset": house["dataset_id"], "version": house["version_id"],
        "job": house["job_id"], "deployment": house["deployment_id"], "file": house["file_id"],
        "batch": house["batch_id"], "connection": house["connection_id"], "user": alice.pk,
    }  # fmt: skip


class Mallory:
    """Her things, and her ways in."""

    def __init__(self, mallory, site: str):
        self.user, self.site = mallory, site
        create_key(owner=mallory, provider="openai", name="hers", key=KEY)
        self.base = create_base(owner=mallory, name="Hers", embedding="words")
        self.minion = create_minion(owner=mallory, name="Hers", chain=[FIRST])
        self.conversation = begin_conversation(owner=mallory, minion=self.minion)
        question = Message.objects.create(
            owner=mallory, conversation=self.conversation, role="user", text="Hi"
        )
        self.answer = Message.objects.create(
            owner=mallory, conversation=self.conversation, parent=question, role="assistant", text="Ho"
        )
        self.tokens = {
            "token": create_token(user=mallory, name="hers", scopes=["read", "write", "chat"])[1],
            "minion": make_token(minion=self.minion)[1],
        }
        self.browser = Client(raise_request_exception=False, SERVER_NAME="127.0.0.1")
        self.browser.force_login(mallory)

    def ask(self, method: str, path: str, body=None, *, by: str = "token") -> tuple[int, str]:
        """By a program, through the whole of the ASGI application."""
        headers = {"Authorization": f"Bearer {self.tokens[by]}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body, default=str).encode()
        request = urllib.request.Request(self.site + path, data, headers, method=method)
        try:
            with OPENER.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")


@pytest.fixture
def hers(mallory, outside, bare_site):  # noqa: F811
    return Mallory(mallory, bare_site)


def everything_of(person) -> dict[str, list]:
    """Every row that is the person's, as it stands."""
    found = {}
    for model in apps.get_models():
        for name in ("owner", "user"):
            if any(field.name == name for field in model._meta.fields):
                rows = model._base_manager.filter(**{name: person.pk}).order_by("pk")
                found[model._meta.label] = list(rows.values())
    return found


def with_ids(ids: dict, hers: Mallory) -> list[tuple[str, str, dict | None]]:
    """Calls of the API in which ids of somebody else's stand where routes are not the only thing that is checked."""
    mine, base, own = (
        f"/api/v1/minions/{hers.minion.pk}/",
        f"/api/v1/knowledge-bases/{hers.base.pk}/",
        ids["user"],
    )
    shapes = [
        {"knowledge_bases": [ids["base"]]}, {"adapter": ids["adapter"]}, {"chain": [FIRST | {"key": str(ids["key"])}]},
        {"adapter": ids["adapter"], "mode": "lora_only"},
    ]  # fmt: skip
    calls = [("POST", "/api/v1/minions/", {"name": "X", "chain": [FIRST]} | shape) for shape in shapes]
    calls += [("PATCH", mine, shape) for shape in shapes]
    calls += [
        ("POST", "/api/v1/conversations/", {"minion": ids["minion"]}),
        ("POST", f"{mine}chat/", {"message": "x", "conversation": ids["conversation"]}),
        ("POST", f"/api/v1/minions/{ids['minion']}/chat/", {"message": "x"}),
        ("POST", f"/api/v1/minions/{ids['minion']}/token/", None),
        ("PATCH", f"/api/v1/minions/{ids['minion']}/", {"name": "Taken"}),
        ("POST", f"/api/v1/messages/{hers.answer.pk}/feedback/", {"kind": "pick", "over": ids["message"]}),
        ("POST", f"/api/v1/messages/{ids['message']}/feedback/", {"kind": "edit", "text": "x"}),
        ("GET", f"/api/v1/conversations/?minion={ids['minion']}", None),
        ("GET", f"/api/v1/training/jobs/?dataset_version={ids['version']}", None),
        ("GET", f"/api/v1/adapters/?dataset_version={ids['version']}&job={ids['job']}", None),
        ("GET", f"/api/v1/exports/?adapter={ids['adapter']}", None),
        ("GET", f"{base}documents/{ids['document']}/", None),
        ("DELETE", f"{base}documents/{ids['document']}/", None),
        ("POST", f"{base}documents/{ids['document']}/again/", None),
        ("POST", f"/api/v1/knowledge-bases/{ids['base']}/search/", {"question": SECRET}),
        ("POST", f"/api/v1/knowledge-bases/{ids['base']}/documents/", {"url": "https://example.org/"}),
        ("PATCH", f"/api/v1/provider-keys/{ids['key']}/", {"name": "x"}),
        ("POST", f"/api/v1/provider-keys/{ids['key']}/test/", None),
        ("POST", "/api/v1/budgets/", {"limit": 0, "minion": ids["minion"]}),
        ("POST", "/api/v1/budgets/", {"limit": 0, "token": ids["token"]}),
        ("POST", "/api/v1/budgets/", {"limit": 0, "owner": str(own)}),
        ("DELETE", f"/api/v1/budgets/{ids['budget']}/", None),
        ("GET", f"/api/v1/usage/lines/?minion={ids['minion']}&everybody=true", None),
        ("GET", f"/api/v1/usage/csv/?token={ids['token']}&everybody=true", None),
        ("POST", "/api/v1/training/jobs/",
         {"name": "x", "dataset": ids["dataset"], "base_model": "tiny", "method": "sft"}),
        ("POST", "/api/v1/deployments/", {"adapter": ids["adapter"]}),
        ("POST", "/api/v1/exports/", {"adapter": ids["adapter"], "kind": "merged"}),
        ("POST", "/api/v1/datasets/", {"uri": "https://example.org/x", "connection": ids["connection"], "name": "x"}),
        ("POST", "/v1/fine_tuning/jobs", {"model": "tiny", "training_file": ids["file"]}),
        ("POST", "/v1/batches", {"input_file_id": ids["file"], "endpoint": "/v1/chat/completions",
                                 "completion_window": "24h"}),
        ("GET", f"/v1/files?after={ids['file']}", None),
        ("GET", f"/v1/files/{ids['file']}/content", None),
    ]  # fmt: skip
    calls += [
        (method, f"/api/v1/users/{own}/{path}", body)
        for method, path, body in (
            ("POST", "minions/", {"name": "X", "chain": [FIRST]}), ("POST", "provider-keys/", {"provider": "openai"}),
            ("POST", "knowledge-bases/", {"name": "x"}), ("GET", "training/jobs/", None), ("GET", "datasets/", None),
            ("POST", f"minions/{ids['minion']}/chat/", {"message": "x"}), ("GET", f"minions/{hers.minion.pk}/", None),
        )
    ]  # fmt: skip
    return calls


def nobodys(ids: dict) -> dict:
    """Of the same shapes."""
    made = {what: uuid.uuid4() for what in ids}
    return made | {"user": 999_999, "file": f"file-{uuid.uuid4().hex}", "batch": f"batch_{uuid.uuid4().hex}"}


def plain(text: str, ids: dict) -> str:
    """Without the ids, which may be said again to who said them, and without what is new each time."""
    for what, value in sorted(ids.items()):
        text = text.replace(str(value), f"<{what}>") if what != "user" else text
    return re.sub(r'(?<=^{"id":")[0-9a-f-]{36}', "<new>", text)


@pytest.mark.parametrize("by", ["token", "minion"])
def test_ids_of_alices_are_answered_as_those_of_nobody(hers, alices, alice, outside, by):  # noqa: F811
    before, missing = everything_of(alice), nobodys(alices)
    for foreign, lost in zip(with_ids(alices, hers), with_ids(missing, hers), strict=True):
        found, wanted = hers.ask(*foreign, by=by), hers.ask(*lost, by=by)
        assert found[0] == wanted[0], (foreign, found, wanted)
        assert plain(found[1], alices) == plain(wanted[1], missing), foreign
        assert SECRET not in found[1], foreign
        if by == "minion":
            assert found[0] in (401, 403, 404), (foreign, found)
    assert everything_of(alice) == before
    assert not outside[0].seen and not outside[1].seen
    assert (
        hers.minion.knowledge_bases.count() == 0
        and type(hers.minion).objects.for_user(hers.user).count() == 1
    )


@pytest.mark.parametrize("by", ["token", "minion"])
def test_her_names_are_no_models_not_even_behind_a_minion(hers, alices, alice, house, outside, by):  # noqa: F811
    from serving.models import Deployment

    deployment = Deployment.objects.get(pk=house["deployment_id"])
    names = [SECRET, str(alices["minion"]), house["model_id"], deployment.model_name, str(alices["base"]),
             str(alices["deployment"])]  # fmt: skip
    before = everything_of(alice)
    for path, body in (
        ("/v1/chat/completions", {"messages": HELLO}), ("/v1/completions", {"prompt": "x"}),
        ("/v1/embeddings", {"input": "x"}),
    ):  # fmt: skip
        refused = hers.ask("POST", path, {"model": "nobodys-model", **body}, by=by)
        for name in names:
            found = hers.ask("POST", path, {"model": name, **body}, by=by)
            assert found[0] == refused[0] == (404 if by == "token" else 403), (path, name, found)
            assert found[1].replace(name, "nobodys-model") == refused[1], (path, name)
    if by == "token":
        assert [each["id"] for each in json.loads(hers.ask("GET", "/v1/models")[1])["data"]] == [
            "tiny",
            "Hers",
        ]
    path = f"/api/v1/minions/{hers.minion.pk}/"
    told = {}
    for name in [*names, "nobodys-model"]:
        chain = [{"provider": "apex", "model": name, "retries": 0}]
        assert hers.ask("PATCH", path, {"chain": chain})[0] == 200
        status, said = hers.ask("POST", "/v1/chat/completions", {"model": "Hers", "messages": HELLO}, by=by)
        told[name] = (status, said.replace(name, "…"))
    assert set(told.values()) == {told["nobodys-model"]} and told[SECRET][0] == 502, told
    assert everything_of(alice) == before and not outside[0].seen


def test_a_minions_token_opens_its_own_minion_and_not_one_other_route(hers, house, alices):  # noqa: F811
    own = {"minion_id": hers.minion.pk, "api-minion": hers.minion.pk, "user_id": "me", "base_id": hers.base.pk,
           "api-knowledge-base": hers.base.pk, "conversation_id": hers.conversation.pk,
           "api-conversation": hers.conversation.pk, "message_id": hers.answer.pk,
           "api-message": hers.answer.pk}  # fmt: skip
    opened = set()
    for whose in (house | {"user_id": "me"}, house | own):
        for route in own_routes():
            if not route.pattern.startswith(("api/", "v1/")):
                continue
            keys = {parameter: key_for(route, parameter, whose) for parameter in route.parameters}
            url = reverse(route.name, kwargs={parameter: whose[key] for parameter, key in keys.items()})
            for method in ("GET", "POST", "PATCH", "DELETE"):
                if url in KINDS or (method == "DELETE" and route.name.endswith("minion-token")):
                    continue  # asked with names above; looked at below, since it would end the token that asks
                body = {"message": "Hello?"} if method == "POST" else {}
                status, text = hers.ask(method, url, None if method == "GET" else body, by="minion")
                assert SECRET not in text and status < 500, (method, url, status)
                if status not in (302, 401, 403, 404, 405):
                    opened.add((method, route.name.removeprefix("of-user-")))
                    assert str(hers.minion.pk) in url, (method, url, status)
    assert opened == {("GET", OPEN[0]), ("POST", OPEN[1]), ("GET", OPEN[2])}, opened
    for path in (
        f"/api/v1/minions/{hers.minion.pk}/token/",
        f"/api/v1/users/me/minions/{hers.minion.pk}/token/",
    ):
        assert hers.ask("DELETE", path, by="minion")[0] == 403
    for path in ("/", "/chat/", f"/minions/{hers.minion.pk}/", "/settings/tokens/", "/admin/"):
        by_token = {"authorization": f"Bearer {hers.tokens['minion']}"}
        answer = Client(headers=by_token, SERVER_NAME="127.0.0.1").get(path)
        assert answer.status_code == 302 and "/login/" in answer.url, path


def test_pages_know_no_ids_of_alices_either(hers, alices, alice):
    missing = nobodys(alices)
    assert hers.browser.get(f"/minions/{hers.minion.pk}/edit/").status_code == 200
    known = Client(SERVER_NAME="127.0.0.1")
    known.force_login(alice)
    assert SECRET in known.get(f"/chat/{alices['conversation']}/").content.decode()
    before = everything_of(alice)

    def pages(ids: dict) -> list[tuple[str, dict | None]]:
        form = {"name": "X", "mode": "provider_only", "chain-TOTAL_FORMS": 1, "chain-INITIAL_FORMS": 0,
                "chain-0-source": "openai|", "chain-0-model": "gpt-4o-mini"}  # fmt: skip
        edit = f"/minions/{hers.minion.pk}/edit/"
        return [
            *((page, form | more) for page in ("/minions/new/", edit) for more in (
                {"adapter": ids["adapter"]}, {"knowledge_bases": [ids["base"]]},
                {"chain-0-source": f"openai|{ids['key']}"},
            )),
            (f"/chat/?minion={ids['minion']}", None),
            (f"/minions/{ids['minion']}/chat/", {}),
            (f"/chat/messages/{hers.answer.pk}/pick/", {"over": ids["message"]}),
            (f"/chat/{ids['conversation']}/ask/", {"text": "x"}),
            (f"/chat/messages/{ids['message']}/again/", {}),
            (f"/knowledge/{hers.base.pk}/documents/{ids['document']}/", None),
            (f"/usage/?minion={ids['minion']}&everybody=on", None),
            (f"/settings/log/?q={ids['minion']}&everybody=on", None),
            ("/usage/limits/", {"limit": 0, "minion": ids["minion"], "token": ids["token"]}),
            ("/playground/answer/", {"model": ids["minion"], "prompt": "x"}),
            (f"/teach/?dataset={ids['dataset']}", None),
            (f"/training/compare/?job={ids['job']}&job={ids['job']}", None),
        ]  # fmt: skip

    for (path, fields), (lost, no_fields) in zip(pages(alices), pages(missing), strict=True):
        found, wanted = (
            hers.browser.get(at) if given is None else hers.browser.post(at, given)
            for at, given in ((path, fields), (lost, no_fields))
        )
        assert found.status_code == wanted.status_code, (path, found.status_code, wanted.status_code)
        assert found.status_code in (200, 302, 400, 404, 422), path
        assert found.streaming or SECRET not in found.content.decode(), path
    assert everything_of(alice) == before
    assert type(hers.minion).objects.for_user(hers.user).count() == 1
    assert hers.minion.versions.count() == 1


class Socket:
    """One that is opened with these headers, from a page of the site."""

    def __init__(self, path: str, *headers):
        sent = [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1"), *headers]
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": sent, "subprotocols": []}
        self.inner = ApplicationCommunicator(application, scope)

    async def is_let_in(self) -> bool:
        await self.inner.send_input({"type": "websocket.connect"})
        return (await self.inner.receive_output(5))["type"] == "websocket.accept"

    async def close(self) -> None:
        await self.inner.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.inner.wait(5)


def test_sockets_tell_her_nothing_of_alices_and_know_no_tokens(hers, alices, house, alice, mallory):  # noqa: F811
    cookie = (b"cookie", f"sessionid={hers.browser.cookies['sessionid'].value}".encode())
    tokens = [(b"authorization", f"Bearer {text}".encode()) for text in hers.tokens.values()]

    async def open_all() -> None:
        for route in socket_routes:
            names = list(route.pattern.converters)
            path = "/" + str(route.pattern)
            for name in names:
                path = path.replace(f"<uuid:{name}>", str(house[name]))
            for headers in ([cookie] if names else tokens[:1], *([token] for token in tokens), []):
                one = Socket(path, *headers)
                assert not await one.is_let_in(), (path, headers)
                await one.close()
        bell = Socket("/ws/notices/", cookie)
        assert await bell.is_let_in()
        await sync_to_async(notify)(owner=alice, text="For Alice alone")
        assert await bell.inner.receive_nothing(0.2)
        await sync_to_async(notify)(owner=mallory, text="For Mallory")
        assert "Alice" not in (await bell.inner.receive_output(5))["text"]
        await bell.close()

    async_to_sync(open_all)()
