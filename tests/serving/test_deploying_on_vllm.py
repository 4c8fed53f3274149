"""The whole way on a real vLLM: trained, put to work, asked among others, switched under load, killed, taken down."""

import asyncio
import json
import threading
import time

import pytest

from serving import deploying, reconcile, services
from serving.models import Deployment, Health, Placement, PlacementState, Status
from serving.protocol import ChatRequest
from tests.engine.tiny import CAPITALS, run_engine, write_run
from tests.serving.adapters import DEMO
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.on_vllm import look, make_real_node, names_on, take_all_off
from tests.serving.real_vllm import running_vllm

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
    with running_vllm(DEMO, log=log, adapters=ADAPTERS, context=512) as server:
        yield server


@pytest.fixture
def base_model(no_nudges, settings):
    settings.SERVING_DRAIN_SECONDS = 1.0
    return make_base_model(DEMO, name="demo")


@pytest.fixture
def node(vllm, base_model):
    take_all_off(vllm)
    yield make_real_node(vllm, base_model)
    take_all_off(vllm)


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
    assert coach.serving_name not in names_on(vllm)

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
            and names_back <= set(names_on(vllm))
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
    assert names_on(vllm) == ["demo"]
