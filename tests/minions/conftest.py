"""Minions with real rows, over local servers that speak OpenAI's protocol as their outside models."""

import json

import pytest
from asgiref.sync import async_to_sync

from minions.services import create_minion
from providers.services import create_key
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, running
from tests.serving.conftest import embedded, tiny  # noqa: F401 - fixtures

FIRST = {"provider": "openai", "model": "gpt-4o-mini", "retries": 0}
SECOND = {"provider": "nvidia", "model": "meta/llama-3.1-8b-instruct", "retries": 0}


@pytest.fixture(scope="session")
def servers():
    """Two providers: `first` and `second`."""
    with running(FakeOpenAI()) as first, running(FakeOpenAI("nvidia")) as second:
        yield first, second


@pytest.fixture
def outside(servers, settings):
    """The same two, as nothing had happened to them, at the addresses of OpenAI and NVIDIA."""
    for fake, words in zip(servers, ("The first says so.", "The second says so."), strict=True):
        fake.script.clear()
        fake.seen.clear()
        fake.split, fake.pause, fake.left, fake.answer, fake.thought = 0, 0.0, 0, words, ""
    first, second = servers
    settings.PROVIDER_URLS = {"openai": f"{first.url}/v1", "nvidia": f"{second.url}/v1"}
    return servers


@pytest.fixture(autouse=True)
def nothing_seen():
    """No provider is ill from an earlier test, no question counted."""
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def keys(alice):
    return [create_key(owner=alice, provider=name, name=name, key=KEY) for name in ("openai", "nvidia")]


@pytest.fixture
def make_minion(alice, keys):
    """A minion of Alice's over both outside models, changed as asked."""

    def make(owner=alice, **values):
        wanted = {"name": "Nora", "persona": "You are Nora.", "chain": [FIRST, SECOND]} | values
        return create_minion(owner=owner, **wanted)

    return make


def read_stream(client, url: str, fields: dict, **more) -> tuple[int, list[dict]]:
    """(status, events) of one stream of server-sent events; `client` is an `AsyncClient`. A dict goes as JSON to the
    API, as a form to a page."""

    async def run():
        how = {"content_type": "application/json"} if url.startswith("/api/") else {}
        response = await client.post(url, json.dumps(fields) if how else fields, **how, **more)
        if response.status_code != 200:
            return response.status_code, [response.content.decode()]
        body = b"".join([part async for part in response]).decode()
        return 200, [json.loads(line[6:]) for line in body.split("\n\n") if line.startswith("data: ")]

    return async_to_sync(run)()
