"""Real servers that are wrong in one way each, and adapters that are not what was trained: none is put to work.

Servers take half a minute each to start, so they start one after the other.
"""

import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from safetensors.numpy import load_file, save_file

from apex.common import files
from serving import deploying, reconcile
from serving.backends.vllm import VllmBackend
from serving.models import Health, Status
from tests.serving.adapters import DEMO, safetensors, tensors, write_adapter
from tests.serving.compared import make_compared
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.on_vllm import look, make_real_node, names_on, put_to_work, take_all_off
from tests.serving.real_vllm import PATIENCE_SECONDS, running_vllm

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.timeout(PATIENCE_SECONDS),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("adapters")
    return {name: make_compared(home / name, DEMO, seed=seed) for seed, name in enumerate(("Coach", "Poet"))}


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """A server with which nothing is wrong."""
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with running_vllm(DEMO, log=log, adapters=2, is_quick=True) as server:
        yield server


@pytest.fixture
def base_model(no_nudges, db):
    return make_base_model(DEMO, name="demo")


@pytest.fixture
def coach(alice, base_model, made):
    return make_adapter_row(alice, base_model, made["Coach"])


@contextmanager
def changed(directory, name: str, content: bytes):
    """For a moment the directory holds something else."""
    before = (directory / name).read_bytes()
    (directory / name).write_bytes(content)
    try:
        yield
    finally:
        (directory / name).write_bytes(before)


WEIGHTS = "adapter_model.safetensors"


def test_the_right_server_takes_it(right, base_model, coach):
    """So that the others are refused for what is wrong with them alone."""
    make_real_node(right, base_model)
    assert put_to_work(coach).status == Status.ACTIVE
    take_all_off(right)


def test_a_stale_adapter_of_the_same_name_is_found_by_its_answers(right, base_model, coach, made):
    """The server has read the directory when other weights lay in it."""
    make_real_node(right, base_model)
    directory = files.local_directory(coach.directory_sha256)
    deployment = deploying.deploy_adapter(adapter=coach, by=coach.owner)
    with changed(directory, WEIGHTS, (made["Poet"] / WEIGHTS).read_bytes()):
        async_to_sync(VllmBackend(right.url).load_adapter)(deployment.serving_name, directory)
    found = put_to_work(coach)
    assert (found.status, found.reason) == (Status.REFUSED, "stale_adapter"), found.parity
    assert names_on(right) == ["demo"]


def test_a_stale_adapter_of_the_same_name_is_found_by_its_directory(right, base_model, coach, made):
    make_real_node(right, base_model)
    deployment = deploying.deploy_adapter(adapter=coach, by=coach.owner)
    async_to_sync(VllmBackend(right.url).load_adapter)(deployment.serving_name, made["Poet"])
    found = put_to_work(coach)
    assert (found.status, found.reason) == (Status.REFUSED, "adapter_name_taken")
    assert names_on(right) == ["demo"]


def test_a_corrupted_adapter_is_found(right, base_model, coach):
    """Two rows of one matrix have changed places since it was stored."""
    make_real_node(right, base_model)
    directory = files.local_directory(coach.directory_sha256)
    weights = load_file(directory / WEIGHTS)
    name = next(name for name in weights if "down_proj.lora_B" in name)
    weights[name] = np.ascontiguousarray(weights[name][::-1])
    save_file(weights, directory / "changed")
    with changed(directory, WEIGHTS, (directory / "changed").read_bytes()):
        (directory / "changed").unlink()
        found = put_to_work(coach)
    assert (found.status, found.reason) == (Status.REFUSED, "corrupted"), found.parity
    assert names_on(right) == ["demo"]


def test_another_chat_template_is_found(base_model, coach, tmp_path):
    """One space more than in training, where the answer begins."""
    template = (DEMO / "chat_template.jinja").read_text()
    beginning = r"{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
    assert beginning in template
    other = tmp_path / "other.jinja"
    other.write_text(template.replace(beginning, beginning.replace("assistant", "assistant ")))
    more = ("--chat-template", str(other))
    with running_quick(tmp_path, more=more) as server:
        node = make_real_node(server, base_model)
        found = put_to_work(coach)
        assert (found.status, found.reason) == (Status.REFUSED, "template_drift"), found.parity
        assert found.parity["details"]["expected"] != found.parity["details"]["found"]
        assert names_on(server) == ["demo"]
        node.refresh_from_db()
        assert node.health == Health.UP


def test_another_base_is_found(base_model, coach, tmp_path):
    """Its weights are a tenth of their spread away, under the same name and with the same tokenizer."""
    other = tmp_path / "other"
    shutil.copytree(DEMO, other)
    draw = np.random.default_rng(1)
    for file in other.glob("*.safetensors"):
        weights = load_file(file)
        for name, value in weights.items():
            noise = draw.normal(0, 1, value.shape) * value.std() * (1.0 if value.ndim > 1 else 0)
            weights[name] = (value + noise).astype(value.dtype)
        save_file(weights, file, metadata={"format": "pt"})
    with running_quick(tmp_path, base=other) as server:
        make_real_node(server, base_model)
        found = put_to_work(coach)
        assert (found.status, found.reason) == (Status.REFUSED, "wrong_base"), found.parity
        assert names_on(server) == ["demo"]


def test_a_server_that_mixes_answers_up_is_found(base_model, coach, made, alice, tmp_path):
    """vLLM as others publish it, whose slots somebody else has used up: the base answers with what is in the last."""
    with running_quick(tmp_path, is_mended=False) as server:
        backend = VllmBackend(server.url)
        for number in range(server.command.slots):
            path = write_adapter(tmp_path / f"a{number}", weights=safetensors(tensors(seed=number)))
            async_to_sync(backend.load_adapter)(f"somebodys-{number}", path)
        take_all_off(server)
        node = make_real_node(server, base_model)
        assert node.needs_free_slot
        found = put_to_work(coach)
        assert (found.status, found.reason) == (Status.REFUSED, "mixes_up"), found.parity
        node.refresh_from_db()
        assert node.health == Health.MIXING and node.probe["base_difference"] > 0.25
        assert async_to_sync(backend.is_healthy)()  # the question itself did not end it
        reconcile.reconcile()
        node.refresh_from_db()
        assert node.health == Health.MIXING

        # Started again, its slots are free: it may be asked, one adapter beside the free slot after the other.
        server.stop()
        server.start()
        reconcile.reconcile()
        node.refresh_from_db()
        assert (node.health, node.loads_since_start) == (Health.UP, 0)
        assert deploying.try_again(deployment=found, by=alice)
        look(lambda: type(found).objects.filter(pk=found.pk, status=Status.ACTIVE).exists())
        poet = put_to_work(make_adapter_row(alice, base_model, made["Poet"], name="Poet"))
        assert poet.status == Status.ACTIVE, poet.message
        node.refresh_from_db()
        assert node.probe["is_right"] and node.probe["adapters"] == 2


@contextmanager
def running_quick(tmp_path, *, base=DEMO, more=(), **options):
    words = ("--distributed-executor-backend", "uni", *more)
    with running_vllm(
        base, log=tmp_path / "vllm.log", is_quick=True, adapters=2, more=words, **options
    ) as server:
        yield server
