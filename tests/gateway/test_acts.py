"""What is done below /v1 is in the audit log with who, by which token, and from where."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Scope
from accounts.services import create_token
from apex.asgi import application
from apex.common.acting import Acting, acting_as
from audit.models import Act, AuditEvent
from gateway.hot import callers
from minions.services import create_minion, make_token
from providers.services import create_key
from tests.gateway.conftest import running
from tests.gateway.hot import Client
from tests.minions.conftest import FIRST, nothing_seen, outside, servers  # noqa: F401 - fixtures
from tests.providers.fakes import KEY

QUESTION = {"model": "Nora", "messages": [{"role": "user", "content": "Hello?"}]}
VISITOR = "203.0.113.7"


@pytest.fixture(params=[True, False], ids=["behind a proxy", "without one"])
def address(request, transactional_db, settings):
    """(site, the address that a visitor has there). As `manage.py up` starts it with a trusted proxy and with none."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    believed = {"forwarded_allow_ips": "127.0.0.1"} if request.param else {}
    with running(application, proxy_headers=request.param, **believed) as site:
        yield site, VISITOR if request.param else "127.0.0.1"


@pytest.fixture
def minion(alice, address, outside):  # noqa: F811
    create_key(owner=alice, provider="openai", name="team", key=KEY)
    return create_minion(owner=alice, name="Nora", mode="provider_only", chain=[FIRST])


def ask(site: str, text: str) -> None:
    status, _headers, body = Client(site, text).ask(QUESTION, headers={"X-Forwarded-For": VISITOR})
    assert status == 200, body


def told(act: str) -> AuditEvent:
    return AuditEvent.objects.get(act=act)


def test_use_of_a_key_and_of_an_api_token_is_told_with_the_visitors_address(alice, address, minion):
    site, seen_from = address
    token, text = create_token(user=alice, name="script")
    ask(site, text)
    key, used = told(Act.KEY_USED), told(Act.TOKEN_USED)
    assert (key.owner, key.via, key.address, key.token_id) == (alice, "api", seen_from, token.public_id)
    assert (used.owner, used.via, used.address, used.token_id) == (alice, "api", seen_from, token.public_id)
    assert key.subject_name == "team (openai)" and used.subject_name == "script"


def test_use_of_a_minions_token_is_told_with_the_visitors_address(alice, address, minion):
    site, seen_from = address
    token, text = make_token(minion=minion)
    ask(site, text)
    used, key = told(Act.TOKEN_USED), told(Act.KEY_USED)
    assert (used.owner, used.via, used.address, used.subject_name) == (alice, "api", seen_from, "Nora")
    assert (key.address, key.token_id) == (seen_from, token.pk)


@pytest.mark.django_db(transaction=True)
async def test_of_tokens_that_are_looked_up_at_once_each_has_its_own_address(alice, mallory, monkeypatch):
    looked_up = []

    def look_up(used_from, really=callers._callers):
        looked_up.append(len(used_from))
        return really(used_from)

    monkeypatch.setattr(callers, "_callers", look_up)
    ours = callers.Callers()

    async def call(text: str, address: str) -> None:
        with acting_as(Acting(via="api", address=address)):
            await ours.of(f"Bearer {text}".encode(), Scope.CHAT)

    hers, his = [(await sync_to_async(create_token)(user=user, name="x"))[1] for user in (alice, mallory)]
    await asyncio.gather(call(hers, "192.0.2.1"), call(his, "192.0.2.2"))
    assert looked_up == [2]
    used = AuditEvent.objects.filter(act=Act.TOKEN_USED)
    assert {(event.owner_name, event.address) async for event in used} == {
        ("alice", "192.0.2.1"),
        ("mallory", "192.0.2.2"),
    }
