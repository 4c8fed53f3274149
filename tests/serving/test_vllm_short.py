"""The real vLLM in a short form, which every test run has: one server, started twice. The long form is beside it.

It has to keep what the contract says, and the whole way has to work on it: compared and put to work, asked among
others, refused where it is another one than was trained, killed and back, taken down.
"""

import asyncio
import shutil
import time

import pytest
from asgiref.sync import async_to_sync

from apex.common import files
from rendering import Renderer
from serving import deploying, in_flight, reconcile, services
from serving.backends.base import AdapterRefused
from serving.backends.vllm import VllmBackend
from serving.models import Deployment, Health, Placement, PlacementState, Status
from serving.protocol import ApiError, ChatRequest
from tests.serving.adapters import DEMO, write_adapter
from tests.serving.compared import make_compared
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.on_vllm import make_real_node, names_on, put_to_work, take_all_off
from tests.serving.real_vllm import PATIENCE_SECONDS, running_vllm

# Waiting for the installation counts too.
pytestmark = [pytest.mark.vllm_short, pytest.mark.timeout(PATIENCE_SECONDS)]
ADAPTERS = 2
MESSAGES = [{"role": "user", "content": "What is the capital of Turkey?"}]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory):
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with running_vllm(DEMO, log=log, adapters=ADAPTERS, is_quick=True) as server:
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Directories of adapters that answer differently, each with the record of its answers."""
    home = tmp_path_factory.mktemp("adapters")
    return {name: make_compared(home / name, DEMO, seed=seed) for seed, name in enumerate(("Coach", "Poet"))}


@pytest.fixture
def backend(vllm):
    """With nothing on the server but its base, before and after."""
    take_all_off(vllm)
    yield VllmBackend(vllm.url)
    take_all_off(vllm)


@pytest.fixture
def node(vllm, backend, no_nudges, settings, monkeypatch, db):
    settings.SERVING_DRAIN_SECONDS = 0
    monkeypatch.setattr(in_flight, "MARK_SECONDS", 1.5)
    return make_real_node(vllm, make_base_model(DEMO, name="demo"))


def ask_all(user, names: list[str]) -> list[str]:
    """What each answers, all asked at once."""

    async def ask(name: str) -> str:
        target = await services.resolve_model(user=user, model_id=name)
        assert target.places, f"{name} is not asked on the server"
        request = ChatRequest(model=name, messages=MESSAGES, max_tokens=8, temperature=0)
        return (await services.backend_for(target).chat(target, request)).text

    async def ask_them() -> list[str]:
        return await asyncio.gather(*(ask(name) for name in names))

    return async_to_sync(ask_them)()


@pytest.mark.asyncio
async def test_it_keeps_the_contract(backend, made, tmp_path):
    """What our side is built on, in the order of a life; the whole contract is in test_vllm_contract.py."""
    assert await backend.is_healthy() and await backend.models() == ["demo"]
    for _ in range(2):  # loading what is loaded is no error
        await backend.load_adapter("a1-v1", made["Coach"])
    assert await backend.models() == ["demo", "a1-v1"]
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("a1-v1", made["Poet"])
    assert caught.value.code == "adapter_name_taken"
    for changes, words in ({"use_dora": True}, "DoRA"), ({"r": 64}, "LoRA rank 64 is greater than"):
        path = write_adapter(tmp_path / words.replace(" ", "-"), **changes)
        with pytest.raises(AdapterRefused, match=words):
            await backend.load_adapter("broken", path)
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("gone", tmp_path / "gone")
    assert caught.value.status == 404

    prompt = Renderer.from_directory(DEMO).render_prompt(MESSAGES).token_ids
    assert await backend.token_ids("a1-v1", MESSAGES) == prompt
    scored = await backend.logprobs("a1-v1", prompt, [8, 9])
    assert [one.token_id for one in scored] == [8, 9] and all(one.logprob < 0 for one in scored)

    for _ in range(2):  # and so is unloading what is not
        await backend.unload_adapter("a1-v1")
    with pytest.raises(ApiError) as caught:
        await backend.logprobs("a1-v1", prompt, [8])
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_an_adapter_that_the_server_holds_otherwise_is_not_put_to_work(vllm, backend, node, made, alice):
    """The same name and directory, with the weights of another one: only its answers tell."""
    adapter = make_adapter_row(alice, node.base_model, made["Coach"])
    deployment = deploying.deploy_adapter(adapter=adapter, by=alice)
    directory = files.local_directory(adapter.directory_sha256)
    weights = directory / "adapter_model.safetensors"
    right = weights.read_bytes()
    try:
        shutil.copyfile(made["Poet"] / weights.name, weights)
        async_to_sync(backend.load_adapter)(deployment.serving_name, directory)
    finally:
        weights.write_bytes(right)
    found = put_to_work(adapter)
    assert (found.status, found.reason) == (Status.REFUSED, "stale_adapter")
    assert found.parity["difference"] > 0.1
    assert names_on(vllm) == ["demo"]


def test_from_deployed_to_taken_down(vllm, backend, node, made, alice):
    adapters = {name: make_adapter_row(alice, node.base_model, path, name) for name, path in made.items()}

    # 1. Both go to work, each equal to its record.
    deployments = [put_to_work(adapter) for adapter in adapters.values()]
    for each in deployments:
        assert each.status == Status.ACTIVE, each.message
        assert each.parity["is_equal"] is True and each.parity["difference"] < 1e-4
    node.refresh_from_db()
    assert node.health == Health.UP and node.probe["is_right"] and node.probe["adapters"] == 2

    # 2. Both and the base at once: each answers as it does alone.
    names = [*(adapter.model_id for adapter in adapters.values()), "demo"]
    alone = {name: ask_all(alice, [name])[0] for name in names}
    assert len(set(alone.values())) == 3
    asked = names * 10
    assert ask_all(alice, asked) == [alone[name] for name in asked]

    # 3. The server is killed and started again: what it had comes back by itself.
    vllm.kill()
    reconcile.reconcile()
    node.refresh_from_db()
    assert node.health == Health.AWAY
    vllm.start()
    began = time.monotonic()
    reconcile.reconcile()
    assert time.monotonic() - began < 20
    assert Placement.objects.filter(state=PlacementState.LOADED).count() == 2
    assert ask_all(alice, names) == list(alone.values())

    # 4. Down.
    for each in deployments:
        deploying.unload_deployment(deployment=each, by=alice)
    began = time.monotonic()
    while (
        Deployment.objects.on_nodes().exists()
    ):  # the answers of a moment ago count as under way for seconds
        assert time.monotonic() - began < 30
        reconcile.reconcile()
    reconcile.reconcile()
    assert async_to_sync(backend.models)() == ["demo"]
