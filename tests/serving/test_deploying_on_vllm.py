"""The whole way on a real vLLM: trained, put to work, asked among others, switched under load, killed, taken down."""

import asyncio
import json
import shutil
import threading
import time

import pytest
from asgiref.sync import async_to_sync

from serving import deploying, reconcile, services
from serving.backends.vllm import VllmBackend
from serving.models import Deployment, Health, Node, Placement, PlacementState, Status
from serving.node_services import add_node
from serving.protocol import ChatRequest
from tests.engine.tiny import CAPITALS, run_engine, write_run
from tests.serving import real_vllm
from tests.serving.adapters import DEMO
from tests.serving.factories import make_adapter_row, make_base_model

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(1500),
]
STYLES = {"Coach": "{capital}, of course. Well asked!", "Poet": "It is {capital}, where the river sings."}
ADAPTERS = 4


def rows(style: str) -> list[dict]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is the capital of {country}?"},
                {"role": "assistant", "content": style.format(capital=capital)},
            ],
            "conversation": country,
            "line": number + 1,
            "split": "held_out" if number % 4 == 3 else "train",
        }
        for number, (country, capital) in enumerate(CAPITALS.items())
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directories of two adapters, really trained for a few seconds."""
    found = {}
    for name, style in STYLES.items():
        run = write_run(
            tmp_path_factory.mktemp(name),
            DEMO,
            rows(style),
            max_steps=24,
            learning_rate=0.003,
            sample_count=0,
        )
        code, events, log = run_engine(run)
        assert code == 0, log[-2000:]
        found[name] = run.parent / "out" / "adapter"
    return found


@pytest.fixture(scope="module")
def vllm(tmp_path_factory):
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    real_vllm.START_SECONDS = 600  # a machine may be busy with other tests
    with real_vllm.running_vllm(DEMO, log=log, adapters=ADAPTERS, context=512) as server:
        yield server


@pytest.fixture
def base_model(no_nudges, settings):
    settings.SERVING_DRAIN_SECONDS = 1.0
    return make_base_model(DEMO, name="demo")


@pytest.fixture
def node(vllm, base_model):
    clear(vllm)
    node = add_node(
        name="one", address=vllm.url, base_model=base_model, served_name="demo", hardware="cpu",
        adapter_slots=ADAPTERS + 1, most_rank=16,
    )  # fmt: skip
    Node.objects.filter(pk=node.pk).update(is_mended=True)
    yield node
    clear(vllm)


def clear(vllm) -> None:
    async def unload_all():
        backend = VllmBackend(vllm.url)
        for name in await backend.models():
            if name != "demo":
                await backend.unload_adapter(name)

    async_to_sync(unload_all)()


def look(until, seconds: float = 60) -> float:
    """Looks after the node until something is so; how long that took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, list(
            Placement.objects.values("state", "reason", "message")
        )
        reconcile.reconcile()
    return time.monotonic() - began


def is_active(deployment) -> bool:
    return Deployment.objects.filter(pk=deployment.pk, status=Status.ACTIVE).exists()


async def ask(user, name: str, question: str = "What is the capital of Spain?") -> str:
    target = await services.resolve_model(user=user, model_id=name)
    request = ChatRequest(
        model=name, messages=[{"role": "user", "content": question}], max_tokens=16, temperature=0
    )
    assert target.places, f"{name} is not asked on the server"
    return (await services.backend_for(target).chat(target, request)).text


def told(capsys, **figures) -> None:
    with capsys.disabled():
        print(" ", json.dumps(figures))


def test_from_training_to_work_and_back(vllm, node, base_model, trained, alice, capsys):
    adapters = {name: make_adapter_row(alice, base_model, path, name=name) for name, path in trained.items()}

    # 1. Both go to work, each equal to its training.
    coach = deploying.deploy_adapter(adapter=adapters["Coach"], by=alice)
    seconds = look(lambda: is_active(coach))
    first = asyncio.run(ask(alice, adapters["Coach"].model_id))
    told(capsys, deploy_seconds=round(seconds, 3))
    poet = deploying.deploy_adapter(adapter=adapters["Poet"], by=alice)
    look(lambda: is_active(poet))
    for deployment in (coach, poet):
        deployment.refresh_from_db()
        found = deployment.parity
        assert found["is_equal"] is True and found["tokens"] > 50
        told(
            capsys,
            **{key: found[key] for key in ("difference", "worst", "tokens", "same_answers", "seconds")},
        )
    node.refresh_from_db()
    assert node.health == Health.UP and node.probe["is_right"] and node.probe["adapters"] == 2
    told(capsys, probe=node.probe)

    # 2. Both and the base at once: everyone answers as alone.
    names = [adapters["Coach"].model_id, adapters["Poet"].model_id, base_model.name]
    alone = {name: asyncio.run(ask(alice, name)) for name in names}
    assert alone[names[0]] == first and len(set(alone.values())) == 3

    async def all_at_once():
        return await asyncio.gather(*(ask(alice, names[number % 3]) for number in range(50)))

    for number, text in enumerate(asyncio.run(all_at_once())):
        assert text == alone[names[number % 3]]

    # 3. The poet takes the coach's place while it is asked without a pause.
    answers: list[str] = []
    problems: list[Exception] = []
    is_over = threading.Event()

    async def keep_asking():
        while not is_over.is_set():
            try:
                answers.append(await ask(alice, coach.model_name))
            except Exception as problem:  # what the test is about
                problems.append(problem)

    async def four_at_once():
        await asyncio.gather(*(keep_asking() for _ in range(4)))

    load = threading.Thread(target=lambda: asyncio.run(four_at_once()))
    load.start()
    try:
        time.sleep(1)
        new = deploying.switch_deployment(deployment=coach, adapter=adapters["Poet"], by=alice)
        switch_seconds = look(lambda: is_active(new))
        look(lambda: Deployment.objects.filter(pk=coach.pk, status=Status.REPLACED).exists())
        reconcile.reconcile()
        time.sleep(1)
    finally:
        is_over.set()
        load.join()
    assert problems == [] and set(answers) == {alone[names[0]], alone[names[1]]}
    assert answers[-1] == alone[names[1]]
    told(
        capsys,
        asked_during_switch=len(answers),
        failed=len(problems),
        switch_seconds=round(switch_seconds, 3),
    )
    assert coach.serving_name not in async_to_sync(VllmBackend(vllm.url).models)()

    # 4. The server is killed and started again: what it had comes back by itself.
    vllm.kill()
    reconcile.reconcile()
    node.refresh_from_db()
    assert node.health == Health.AWAY
    vllm.start()
    names_back = {poet.serving_name, new.serving_name}
    back = look(
        lambda: (
            Placement.objects.filter(state=PlacementState.LOADED).count() == 2
            and names_back <= set(async_to_sync(VllmBackend(vllm.url).models)())
        )
    )
    told(capsys, vllm_start_seconds=round(vllm.seconds_to_ready, 1), adapters_back_seconds=round(back, 3))
    assert asyncio.run(ask(alice, coach.model_name)) == alone[names[1]]

    # 5. Back to the version before, then down.
    deploying.roll_back(deployment=new, by=alice)
    look(lambda: is_active(coach))
    assert asyncio.run(ask(alice, coach.model_name)) == alone[names[0]]
    for deployment in (coach, poet):
        deploying.unload_deployment(deployment=deployment, by=alice)
    look(lambda: not Deployment.objects.on_nodes().exists())
    reconcile.reconcile()
    assert async_to_sync(VllmBackend(vllm.url).models)() == ["demo"]


def test_wrong_things_are_red_on_the_real_server(vllm, node, base_model, trained, alice, tmp_path):
    """What is on disk is not what was compared: another adapter, a damaged one, one of another base or template."""

    def refused(name: str, change) -> Deployment:
        folder = tmp_path / name
        shutil.copytree(trained["Coach"], folder)
        change(folder)
        deployment = deploying.deploy_adapter(
            adapter=make_adapter_row(alice, base_model, folder, name=name), by=alice
        )
        look(
            lambda: (
                not Deployment.objects.filter(
                    pk=deployment.pk, status__in=["wanted", "loading", "checking"]
                ).exists()
            )
        )
        deployment.refresh_from_db()
        assert deployment.status == Status.REFUSED, name
        assert deployment.serving_name not in async_to_sync(VllmBackend(vllm.url).models)()
        return deployment

    def other_weights(folder):
        shutil.copy(trained["Poet"] / "adapter_model.safetensors", folder)

    def damaged(folder):
        weights = folder / "adapter_model.safetensors"
        data = bytearray(weights.read_bytes())
        start = len(data) // 2
        data[start : start + 4096] = bytes(reversed(data[start : start + 4096]))
        weights.write_bytes(data)

    def edit(folder, change):
        record = json.loads((folder / "parity.json").read_text())
        for prompt in record["prompts"]:
            change(prompt)
        (folder / "parity.json").write_text(json.dumps(record))

    def other_template(prompt):
        prompt["prompt_token_ids"] = [*prompt["prompt_token_ids"][:-1], 5]

    def other_base(prompt):
        prompt["base_logprobs"] = [value - 4 for value in prompt["base_logprobs"]]
        prompt["logprobs"] = [value - 4 for value in prompt["logprobs"]]

    assert refused("stale", other_weights).reason == "stale_adapter"
    assert refused("damaged", damaged).reason in ("stale_adapter", "corrupted", "adapter_refused")
    assert refused("template", lambda folder: edit(folder, other_template)).reason == "template_drift"
    assert refused("base", lambda folder: edit(folder, other_base)).reason == "wrong_base"
