"""A reranker of a provider's behind the fused search: its order, its price, and what goes on without it."""

from decimal import Decimal

import pytest

from knowledge import reranking, services
from knowledge.models import KnowledgeBase
from knowledge.retrieval import most_of, search
from ledger.models import Measure, UsageLine
from ledger.services import set_budget
from providers.models import PriceOverride, ProviderKey
from providers.services import create_key
from tests.providers.fake_rerank import MODEL, FakeReranker
from tests.providers.fakes import KEY, Fault, running

pytestmark = pytest.mark.django_db(transaction=True)
QUESTION = "when does the gate open"


@pytest.fixture(scope="module")
def running_server():
    with running(FakeReranker()) as fake:
        yield fake


@pytest.fixture
def server(running_server, settings, alice):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    running_server.seen.clear()
    running_server.script.clear()
    create_key(owner=alice, provider="custom", name="mine", key=KEY, base_url=f"{running_server.url}/v1")
    return running_server


@pytest.fixture
def asked(server, base, bring):
    """By words `gates.txt` comes first; the stand-in for a reranker minds the question marks."""
    bring("gates.txt", "when? does? the? gate? open? when? does? gate? open?")
    bring("hours.txt", "the gate opens at six, on all days but Sunday, says the keeper of the harbour")
    services.change_base(base=base, rerank_provider="custom", rerank_model=MODEL)
    base.refresh_from_db()
    return lambda **more: search([base], QUESTION, **more)


def names(passages) -> list[str]:
    return [passage.document_name for passage in passages]


def test_the_rerankers_order_is_the_order(asked, base, server):
    fused = asked(way="words")
    assert names(fused) == ["gates.txt", "hours.txt"] and not fused.reranked and not server.seen
    found = asked()
    assert names(found) == ["hours.txt", "gates.txt"]
    assert [passage.by_reranker for passage in found] == [1, 2] and found[0].score > found[1].score
    body = server.seen[0].body
    assert body["query"] == QUESTION and body["model"] == MODEL and len(body["documents"]) == 2
    assert body["documents"][0].startswith("gates.txt, ")
    assert names(asked(most=1)) == ["hours.txt"], "what is left out at the end was put in order as well"


def test_its_tokens_are_in_the_ledger_with_their_price(asked, alice, server):
    PriceOverride.objects.create(provider="custom", model=MODEL, input_price=2, output_price=0, note="test")
    told = asked().reranked[0]
    line = UsageLine.objects.get()
    assert (line.owner_id, line.activity, line.provider, line.model) == (
        alice.pk, "knowledge rerank", "custom", MODEL,
    )  # fmt: skip
    assert line.input_tokens == told.tokens == 18 and not line.is_estimated
    assert told.cost == Decimal("0.000036") and told.price_source == "set here: test" and not told.problem


def test_whoever_holds_what_it_could_take_books_it(asked, base, server):
    taken = []
    told = asked(book=taken.append).reranked[0]
    assert [line.input_tokens for line in taken] == [told.tokens] and not UsageLine.objects.exists()
    assert most_of([base], QUESTION).tokens > told.tokens


def test_a_server_that_counts_no_tokens_is_booked_by_length(asked, running_server, monkeypatch):
    monkeypatch.setattr(running_server, "flavour", "cohere")
    told = asked().reranked[0]
    assert told.is_estimated and told.tokens == UsageLine.objects.get().input_tokens > 20


@pytest.mark.parametrize("trouble", ["overload", "wrong key", "gone", "no key", "odd", "model"])
def test_without_it_the_search_goes_on_and_says_why(
    asked, base, server, alice, trouble, settings, monkeypatch
):
    if trouble == "overload":
        server.script.append(Fault(status=503, body={"error": "Model is overloaded"}))
    elif trouble == "wrong key":
        monkeypatch.setattr(server, "key", "another")
    elif trouble == "gone":
        settings.PROVIDER_URLS = {"custom": "http://127.0.0.1:9/v1"}
        ProviderKey.objects.update(base_url="")
    elif trouble == "no key":
        ProviderKey.objects.all().delete()
    elif trouble == "odd":
        monkeypatch.setattr(server, "odd", [])
    else:
        services.change_base(base=base, rerank_model="other")
    found = asked()
    why = {"overload": "overloaded", "wrong key": "does not accept the key", "gone": "cannot be reached",
           "no key": "have no key", "odd": "something else", "model": "`other` does not exist"}  # fmt: skip
    assert names(found) == ["gates.txt", "hours.txt"] and found[0].by_reranker is None
    assert why[trouble] in found.reranked[0].problem and KEY not in found.reranked[0].problem
    assert not UsageLine.objects.exists()


def test_a_spent_budget_leaves_the_order_and_asks_nobody(asked, alice, server):
    set_budget(owner=alice, measure=Measure.TOKENS, limit=1)
    found = asked()
    assert names(found) == ["gates.txt", "hours.txt"] and not server.seen
    assert "budget" in found.reranked[0].problem.lower()


def test_bases_with_one_reranker_are_put_in_order_in_one_call(asked, base, bring, alice, server):
    other = services.create_base(owner=alice, name="Other", embedding="words")
    bring("other.txt", "when does the gate open again", into=other)
    services.change_base(base=other, rerank_provider="custom", rerank_model=MODEL)
    found = search([base, other], QUESTION)
    assert len(server.seen) == 1 and len(server.seen[0].body["documents"]) == 3
    assert [passage.by_reranker for passage in found] == [1, 2, 3] and names(found)[-1] == "gates.txt"
    plain = services.create_base(owner=alice, name="Plain", embedding="words")
    bring("plain.txt", "the gate does open", into=plain)
    assert set(names(search([base, plain], QUESTION))) == {"plain.txt", "hours.txt", "gates.txt"}


def test_no_more_pieces_are_sent_than_every_server_takes(asked, base, bring, server, monkeypatch):
    monkeypatch.setattr("knowledge.retrieval.RERANKED", 1)
    assert names(asked()) == ["gates.txt", "hours.txt"] and len(server.seen[0].body["documents"]) == 1
    assert [passage.by_reranker for passage in asked()] == [1, None] and reranking.CANDIDATES <= 32


def test_page_and_api_set_it_and_show_what_it_did(asked, base, client, alice, server):
    client.force_login(alice)
    page = client.get(f"/knowledge/{base.pk}/", {"q": QUESTION}).content.decode()
    assert f"put in order by {MODEL}" in page and "18 tokens" in page
    server.script.append(Fault(status=503, body={"error": "Model is overloaded"}))
    page = client.get(f"/knowledge/{base.pk}/", {"q": QUESTION}).content.decode()
    assert "this is the order of words and meaning" in page and "overloaded" in page and "gates.txt" in page
    url = f"/knowledge/{base.pk}/rerank/"
    assert client.post(url, {"rerank_provider": "custom", "rerank_model": ""}).status_code == 422
    assert client.post(url, {"rerank_provider": ""}).status_code == 302
    assert KnowledgeBase.objects.get().rerank_model == ""
    api = f"/api/v1/knowledge-bases/{base.pk}/"
    for wrong, field in (({"rerank_provider": "openai", "rerank_model": "x"}, "rerank_provider"),
                         ({"rerank_provider": "custom"}, "rerank_model")):  # fmt: skip
        refused = client.patch(api, wrong, content_type="application/json")
        assert refused.status_code == 400 and field == refused.json()["error"]["field"]
    right = {"rerank_provider": "custom", "rerank_model": MODEL}
    assert client.patch(api, right, content_type="application/json").json()["rerank_model"] == MODEL
    said = client.post(f"{api}search/", {"question": QUESTION}, content_type="application/json").json()
    assert said["reranked"][0]["tokens"] == 18 and said["passages"][0]["by_reranker"] == 1
