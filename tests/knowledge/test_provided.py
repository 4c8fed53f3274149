"""Vectors that a provider makes: paid by whoever's base it is, also with a key that is lent to them."""

import pytest

from knowledge import services
from knowledge.embeddings import EmbeddingFailed, embedding_of
from ledger.models import Counter, Reservation, UsageLine
from ledger.services import set_budget
from providers.models import PriceOverride
from providers.services import create_key
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import Fault, running

MODEL = "text-embedding-3-small"


@pytest.fixture
def fake(settings):
    with running(FakeOpenAI()) as fake:
        settings.PROVIDER_URLS = {"openai": f"{fake.url}/v1"}
        yield fake


@pytest.fixture
def embedding(fake, mallory, django_user_model):
    """That of Mallory, who has no key of her own."""
    root = django_user_model.objects.create_superuser("root", password="correct horse battery")
    lent = create_key(owner=root, provider="openai", key=fake.key)
    lent.is_shared = True
    lent.save()
    PriceOverride.objects.create(provider="openai", model="*", input_price=10_000, output_price=0)
    base = services.create_base(owner=mallory, name="b", embedding="provider", provider="openai", model=MODEL)
    return embedding_of(base.active_index)


def test_vectors_made_with_a_lent_key_are_in_the_books_of_who_asked(embedding, mallory):
    assert embedding.passages(["A gate." * 8, "A sea."]).shape[0] == 2
    (line,) = UsageLine.objects.all()
    assert (line.owner_id, line.kind, line.provider, line.model) == (
        mallory.pk, "provider_tokens", "openai", MODEL,
    )  # fmt: skip
    assert line.input_tokens == 2 and not line.is_estimated  # as the provider counted
    assert line.nanos == line.input_tokens * 10**7


def test_where_a_provider_tells_no_count_it_is_estimated(embedding, monkeypatch):
    monkeypatch.setattr("providers.backends.openai_protocol.usage_of", lambda told: None)
    embedding.passages(["A gate." * 8, "A sea."])
    line = UsageLine.objects.get()
    assert line.input_tokens == 17 and line.is_estimated


def test_with_a_book_of_the_askers_nothing_is_held_or_written_here(embedding, mallory):
    set_budget(owner=mallory, limit=0)
    lines = []
    assert embedding.question("Where?", lines.append).shape == (8,)
    assert [line.input_tokens for line in lines] == [1] and not UsageLine.objects.exists()
    assert embedding.most_of("Where?").tokens == 2


def test_no_more_vectors_are_made_than_a_budget_has_room_for(embedding, fake):
    set_budget(owner=None, limit="0.50")
    embedding.passages(["x" * 100])
    with pytest.raises(EmbeddingFailed, match="left this month") as failed:
        embedding.passages(["x" * 200])
    assert not failed.value.is_passing and len(fake.seen) == 1
    counter = Counter.objects.get()
    assert counter.spent == 10_000_000 and counter.reserved == 0


def test_what_was_held_for_vectors_that_never_came_is_given_back(embedding, fake):
    set_budget(owner=None, limit="0.50")
    fake.script.append(Fault(400, {"error": {"message": "no"}}))
    with pytest.raises(EmbeddingFailed):
        embedding.question("Where?")
    assert not Reservation.objects.exists() and not UsageLine.objects.exists()
    assert Counter.objects.get().reserved == 0
