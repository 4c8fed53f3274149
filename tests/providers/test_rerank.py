"""Texts put in order by servers of other people, by whichever call they know."""

import pytest

from providers.backends.custom import Custom
from providers.backends.nvidia import Nvidia
from providers.base import Ability, Access, Patience, ProviderFailed, Reranks
from providers.registry import all_providers
from tests.providers.fake_rerank import MODEL, FakeReranker
from tests.providers.fakes import KEY, Fault, running

TEXTS = ["the ferry leaves", "the gate opens at six", "nothing of that"]
QUESTION = "when the gate opens"


@pytest.fixture(scope="module", params=["vllm", "jina", "cohere", "inference", "nim"])
def server(request):
    with running(FakeReranker(request.param)) as fake:
        yield fake


@pytest.fixture(autouse=True)
def fresh(request):
    if "server" in request.fixturenames:
        fake = request.getfixturevalue("server")
        fake.seen.clear()
        fake.script.clear()
        fake.odd = None


def client(server, key=KEY, **patience) -> Custom:
    return Custom(Access(key, f"{server.url}/v1"), Patience(**({"tries": 1} | patience)))


async def test_every_kind_of_server_puts_the_best_first(server):
    found = await client(server).rerank(MODEL, QUESTION, TEXTS)
    assert [place for place, _score in found] == [1, 0, 2] and found[0][1] == 0.75
    counted = {"vllm": 27, "jina": 27, "nim": 27, "cohere": None, "inference": None}
    assert found.input_tokens == counted[server.flavour]
    assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_a_wrong_key_and_trouble_are_said_as_everywhere(server):
    with pytest.raises(ProviderFailed, match="does not accept the key") as caught:
        await client(server, "sk-wrong-0123456789").rerank(MODEL, QUESTION, TEXTS)
    assert caught.value.kind == "auth" and len(server.seen) == 1
    if server.flavour in ("vllm", "jina", "cohere"):
        server.script.append(Fault(status=503, body={"error": "Model is overloaded"}))
        with pytest.raises(ProviderFailed, match="has trouble"):
            await client(server).rerank(MODEL, QUESTION, TEXTS)
        server.script.append(Fault(status=503, body={"error": "Model is overloaded"}))
        found = await client(server, tries=2, first_wait=0.01).rerank(MODEL, QUESTION, TEXTS)
        assert found[0][0] == 1


@pytest.mark.parametrize(
    "rows",
    [[], [{"index": 0, "relevance_score": 1}], [{"index": 9, "relevance_score": 1}] * 3,
     [{"index": place, "relevance_score": "NaN"} for place in range(3)], [{"document": "x"}] * 3],
)  # fmt: skip
async def test_an_answer_that_is_not_all_texts_in_an_order_is_refused(rows):
    with running(FakeReranker()) as fake:
        fake.odd = rows
        with pytest.raises(ProviderFailed, match="something else than was expected"):
            await client(fake).rerank(MODEL, QUESTION, TEXTS)


async def test_a_model_that_is_not_there_is_named_in_the_servers_words():
    with running(FakeReranker()) as fake:
        with pytest.raises(ProviderFailed, match="The model `other` does not exist") as caught:
            await client(fake).rerank("other", QUESTION, TEXTS)
        assert caught.value.code == "model_not_found"


def test_nvidia_has_an_address_for_each_model_and_a_nim_of_ones_own_one_for_all():
    theirs = Nvidia(Access(KEY))
    model = "nvidia/llama-3.2-nv-rerankqa-1b-v2"
    url = "https://ai.api.nvidia.com/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"
    assert theirs.ranking_url(model) == url
    for evil in ("../../x", "a/b/../c", "nvidia", "a/b?c"):
        with pytest.raises(ProviderFailed, match="no name of a model there"):
            theirs.ranking_url(evil)
    assert Nvidia(Access(KEY, "http://127.0.0.1:1/v1")).ranking_url(model) == "http://127.0.0.1:1/v1/ranking"


async def test_nvidia_is_asked_with_question_and_passages_cut_at_their_end():
    with running(FakeReranker("nim")) as fake:
        found = await Nvidia(Access(KEY, f"{fake.url}/v1")).rerank("nvidia/x", QUESTION, TEXTS)
        assert found[0][0] == 1 and fake.seen[0].body["truncate"] == "END"


async def test_who_cannot_do_it_does_not_say_that_it_can():
    able = {name for name, made in all_providers().items() if Ability.RERANK in made.abilities}
    assert able == {"nvidia", "custom"}
    made = all_providers()["openai"](Access(KEY))
    assert isinstance(made, Reranks)
    with pytest.raises(ProviderFailed, match="does not offer to put texts in order"):
        await made.rerank("x", QUESTION, TEXTS)
