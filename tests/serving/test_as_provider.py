"""The house's own models, asked as one provider among the others."""

import socket
import time

import pytest
from asgiref.sync import async_to_sync

from gateway.aliases import create_alias
from knowledge.embeddings.provided import ASKING
from providers.base import Call, ProviderFailed, Usage
from providers.services import provider_for
from serving.models import Health, Node
from serving.node_services import add_node
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, Fault, running

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def fake():
    with running(FakeOpenAI()) as fake:
        yield fake


@pytest.fixture
def node(fake, base_model):
    """A server in the house that has the base model under another name."""
    made = add_node(
        name="one", address=fake.url, base_model=base_model, backend="openai_compatible", api_key=KEY,
        served_name="gpt-4o-mini",
    )  # fmt: skip
    Node.objects.filter(pk=made.pk).update(health=Health.UP)
    return made


def test_a_base_model_answers_whole_and_in_pieces(alice, base_model, node, fake):
    provider = provider_for(alice, "apex")
    call = Call(base_model.name, HELLO, max_tokens=9)
    answer = async_to_sync(provider.chat)(call)
    assert (answer.text, answer.usage) == (fake.answer, Usage(19, 10, 8))

    async def read():
        return [piece async for piece in provider.stream(call)]

    pieces = async_to_sync(read)()
    assert "".join(piece.text for piece in pieces) == fake.answer and pieces[-1].finish_reason == "stop"
    assert fake.seen[-1].body["model"] == "gpt-4o-mini" and fake.seen[-1].body["max_tokens"] == 9


def test_a_name_that_was_given_to_a_base_model_means_it_here_too(alice, mallory, base_model, node, fake):
    create_alias(owner=alice, name="gpt-4o-mini", base_model=base_model)
    answer = async_to_sync(provider_for(alice, "apex").chat)(Call("gpt-4o-mini-2024-07-18", HELLO))
    assert answer.text == fake.answer
    with pytest.raises(ProviderFailed) as failed:
        async_to_sync(provider_for(mallory, "apex").chat)(Call("gpt-4o-mini", HELLO))
    assert failed.value.code == "model_not_found"
    create_alias(owner=None, name="gpt-4o-mini", base_model=base_model)
    assert async_to_sync(provider_for(mallory, "apex").chat)(Call("gpt-4o-mini", HELLO)).text == fake.answer


def test_who_stops_reading_ends_the_answer(alice, base_model, node, fake):
    fake.pause = 0.05

    async def read_one():
        pieces = provider.stream(Call(base_model.name, HELLO))
        assert (await anext(pieces)).text
        await pieces.aclose()

    provider = provider_for(alice, "apex")
    async_to_sync(read_one)()
    for _ in range(40):
        if fake.left:
            break
        time.sleep(0.05)
    assert fake.left == 1


def test_what_goes_wrong_is_a_failure_like_any_other(alice, base_model, node, fake, tiny):
    provider = provider_for(alice, "apex")
    with pytest.raises(ProviderFailed) as failed:
        async_to_sync(provider.chat)(Call("nobody", HELLO))
    assert (failed.value.kind, failed.value.code) == ("bad_request", "model_not_found")
    fake.script.append(Fault(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}))
    with pytest.raises(ProviderFailed) as failed:
        async_to_sync(provider.chat)(Call(base_model.name, HELLO))
    assert failed.value.kind == "context"


def test_models_are_ones_own_and_the_houses(alice, mallory, coach):
    alices = [model.id for model in async_to_sync(provider_for(alice, "apex").models)()]
    hers = [model.id for model in async_to_sync(provider_for(mallory, "apex").models)()]
    assert coach.model_id in alices and coach.model_id not in hers and coach.base_model.name in hers


def test_a_strangers_adapter_is_not_there(mallory, coach):
    with pytest.raises(ProviderFailed) as failed:
        async_to_sync(provider_for(mallory, "apex").chat)(Call(coach.model_id, HELLO))
    assert failed.value.code == "model_not_found"


def test_a_look_up_does_not_wait_for_a_process_that_was_killed(alice, base_model, settings, tmp_path):
    """Its vectors would come from the house; the search says at once that they do not."""
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(f"{tmp_path}/dead.sock")
    settings.EMBEDDED_URL = f"unix://{tmp_path}/dead.sock"
    provider, begun = provider_for(alice, "apex", patience=ASKING), time.monotonic()
    with pytest.raises(ProviderFailed, match="is not up yet"):
        async_to_sync(provider.embed)(base_model.name, ["When does the gate open?"], is_question=True)
    assert time.monotonic() - begun < 1
