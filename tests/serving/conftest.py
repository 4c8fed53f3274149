"""One tiny model for all tests here and in tests/gateway, one server process for each of the two."""

import tempfile
from functools import cache
from pathlib import Path

import pytest
from celery import current_app

from serving.nodes import announce_embedded
from tests.serving.embedded_process import running_server
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.server_of_adapters import AdapterServer
from tests.serving.server_of_adapters import running as running_adapters
from tests.serving.tiny import make_adapter, make_base

_home = tempfile.TemporaryDirectory(prefix="apex-tiny-")


@cache
def tiny_models() -> dict[str, Path]:
    home = Path(_home.name)
    base = make_base(home / "base")
    return {
        "base": base,
        "one": make_adapter(home / "one", base, seed=1),
        "two": make_adapter(home / "two", base, seed=2),
    }


@pytest.fixture(scope="session")
def tiny():
    """Paths: `base`, and adapters `one` and `two` for it."""
    return tiny_models()


@pytest.fixture(scope="session")
def embedded():
    """A running server with nothing loaded yet."""
    with running_server(idle_seconds=24 * 3600) as server:  # others may test for long between its questions
        yield server


@pytest.fixture(scope="session")
def loaded(embedded, tiny):
    """The server with the base and both adapters."""
    assert embedded.call("POST", "/v1/load_base_model", {"name": "tiny", "path": str(tiny["base"])})[0] == 200
    for name in ("one", "two"):
        body = {"lora_name": f"ft:tiny:alice:{name}.x", "lora_path": str(tiny[name]), "base_model": "tiny"}
        status, text = embedded.call("POST", "/v1/load_lora_adapter", body)
        assert status == 200, text
    return embedded


@pytest.fixture
def server(tiny):
    """A server of adapters for the tiny base, which answers from the records beside them."""
    with running_adapters(AdapterServer(tiny["base"])) as server:
        yield server


@pytest.fixture
def no_nudges(monkeypatch):
    """Nobody is told by the broker; the test looks after the nodes itself. Returns what would have been sent."""
    sent = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **more: sent.append(name))
    return sent


@pytest.fixture
def base_model(tiny, no_nudges):
    """On this machine; the embedded process is there for its adapters."""
    announce_embedded()
    return make_base_model(tiny["base"])


@pytest.fixture
def coach(alice, base_model, tiny):
    return make_adapter_row(alice, base_model, tiny["one"])


@pytest.fixture
def poet(alice, base_model, tiny):
    return make_adapter_row(alice, base_model, tiny["two"], name="Poet")
