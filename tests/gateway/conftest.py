"""The whole way of a program's question: a real ASGI server, a real embedded process, a tiny model."""

import socket
import threading
import time
from contextlib import contextmanager

import openai
import pytest
import uvicorn

from accounts.services import create_token
from apex.asgi import application
from gateway import batch_running
from tests.serving.conftest import embedded, tiny  # noqa: F401 - fixtures
from tests.serving.factories import make_adapter_row, make_base_model


@contextmanager
def running(application, **options):
    """The address of a uvicorn that runs `application`, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=2, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(autouse=True)
def unhurried_batches(monkeypatch):
    """A turn of a batch ends with the batch, also where a busy machine takes half a minute to start the models."""
    monkeypatch.setattr(batch_running, "SLICE_SECONDS", 600)


@pytest.fixture
def bare_site(transactional_db, settings):
    """The address of a server that runs this project's ASGI application; no model answers yet."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with running(application) as url:
        yield url


@pytest.fixture
def site(bare_site, settings, embedded):  # noqa: F811
    """The same, and the real answering process."""
    settings.EMBEDDED_URL = embedded.url
    return bare_site


@pytest.fixture
def base_model(site, tiny):  # noqa: F811
    return make_base_model(tiny["base"])


@pytest.fixture
def adapter(alice, base_model, tiny):  # noqa: F811
    return make_adapter_row(alice, base_model, tiny["one"])


def client_for(site, user, scopes=("read", "chat")) -> openai.OpenAI:
    _, text = create_token(user=user, name="test", scopes=scopes)
    return openai.OpenAI(base_url=f"{site}/v1", api_key=text, max_retries=0, timeout=60)


@pytest.fixture
def alices(site, alice):
    return client_for(site, alice)


@pytest.fixture
def mallorys(site, mallory):
    return client_for(site, mallory)
