"""ChromaDB as the store of an index. `APEX_TEST_CHROMA=/path/to/chroma` holds the same against the real one."""

import os
import subprocess
import time

import httpx2
import pytest

from knowledge import execution, services, sweeping
from knowledge.embeddings import EMBEDDINGS
from knowledge.models import KnowledgeIndex, Remnant
from knowledge.retrieval import RetrievalFailed, search
from knowledge.stores import chroma
from tests.knowledge import fake_chroma
from tests.knowledge.test_retrieval import Letters
from tests.stack import free_port

pytestmark = pytest.mark.django_db(transaction=True)
PROGRAM = os.environ.get("APEX_TEST_CHROMA", "")


@pytest.fixture
def fake(settings):
    with fake_chroma.running() as (stands_in, url):
        settings.CHROMA_URL = url
        yield stands_in


@pytest.fixture(params=["fake", "real"])
def server(request, settings, tmp_path):
    if request.param == "fake":
        with fake_chroma.running() as (_fake, url):
            settings.CHROMA_URL = url
            yield url
        return
    if not PROGRAM:
        pytest.skip("APEX_TEST_CHROMA names no program")
    port = free_port()
    words = [PROGRAM, "run", "--path", str(tmp_path / "chroma"), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings.CHROMA_URL = f"http://127.0.0.1:{port}"
    try:
        for _try in range(200):
            try:
                httpx2.get(f"{settings.CHROMA_URL}/api/v2/heartbeat", trust_env=False)
                break
            except httpx2.HTTPError:
                time.sleep(0.1)
        yield settings.CHROMA_URL
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def letters(alice, monkeypatch):
    monkeypatch.setitem(EMBEDDINGS, "letters", Letters)
    return lambda: services.create_base(owner=alice, name="Letters", embedding="letters", store="chroma")


def names(base, question: str) -> list[str]:
    return [passage.document_name for passage in search([base], question, way="meaning", most=9)]


def ids_in(index: KnowledgeIndex) -> set[str]:
    collection = chroma.STORE.collection(index.pk)
    return set(chroma.ask("POST", f"{chroma.COLLECTIONS}/{collection}/get", {"include": []})["ids"])


def test_what_is_brought_is_found_and_what_is_deleted_is_gone(server, letters, bring):
    base = letters()
    first, _second = bring("a.txt", "aaaa", into=base), bring("b.txt", "bbbb", into=base)
    assert names(base, "aaa")[0] == "a.txt" and names(base, "bbb")[0] == "b.txt"
    scores = chroma.STORE.nearest(base.active_index, Letters(None).question("aaaa"), 2)
    assert scores[0] == (1, pytest.approx(1, abs=1e-3)) and scores[1][1] < 0.2
    services.delete_document(document=first)
    assert names(base, "aaa") == ["b.txt"] and ids_in(base.active_index) == {"2"}


def test_a_new_index_has_a_collection_of_its_own_and_the_old_one_goes(server, letters, bring):
    base = letters()
    bring("a.txt", "aaaa", into=base)
    old = base.active_index.pk
    new = services.reindex(base=base, chunk_size=300)
    execution.execute_index(str(new.pk))
    assert names(base, "aaa") == ["a.txt"]
    collection = chroma.ask("GET", f"{chroma.COLLECTIONS}/{chroma.name_of(old)}", missing_is_fine=True)
    assert collection is None
    services.delete_base(base=base)
    chroma.STORE.forget(old)  # forgetting what is gone is no error


def test_what_it_missed_it_is_given_before_it_is_asked(fake, letters, bring):
    base = letters()
    bring("a.txt", "aaaa", into=base)
    fake.is_broken = True
    document = bring("b.txt", "bbbb", into=base)
    fake.is_broken = False
    assert document.status == "ready", "the rows are the truth"
    assert names(base, "bbb")[0] == "b.txt"
    fake.collections.clear()  # somebody emptied it
    KnowledgeIndex.objects.update(store_state={})
    assert set(names(base, "bbb")) == {"a.txt", "b.txt"}


def test_one_that_does_not_answer_is_said_and_words_are_found_all_the_same(fake, letters, bring, settings):
    base = letters()
    bring("a.txt", "aaaa gate", into=base)
    settings.CHROMA_URL = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RetrievalFailed, match="does not answer. Start it again; nothing is lost"):
        search([base], "gate")
    assert [passage.document_name for passage in search([base], "gate", way="words")] == ["a.txt"]


def test_what_it_could_not_be_told_is_kept_in_mind_until_it_is_gone_there(
    fake, letters, bring, client, alice
):
    base = letters()
    bring("a.txt", "aaaa", into=base)
    index = base.active_index.pk
    fake.is_broken = True
    services.delete_base(base=base)
    remnant = Remnant.objects.get()
    assert (remnant.index_id, remnant.store, remnant.whose, remnant.tries) == (
        index,
        "chroma",
        str(alice.pk),
        1,
    )
    assert chroma.name_of(index) in fake.collections
    client.force_login(alice)
    page = client.get("/knowledge/").content.decode()
    assert "Of 1 index that you deleted, vectors are still in a store" in page and "disk full" in page
    sweeping.sweep()
    assert Remnant.objects.get().tries == 2
    fake.is_broken = False
    sweeping.sweep()
    assert not Remnant.objects.exists() and not fake.collections
    assert "vectors are still" not in client.get("/knowledge/").content.decode()


def test_a_process_that_dies_behind_the_commit_forgets_nothing(fake, letters, bring, monkeypatch):
    base = letters()
    bring("a.txt", "aaaa", into=base)
    monkeypatch.setattr("knowledge.signals.forget_index", lambda index_id: None)  # it was killed before
    services.delete_base(base=base)
    assert Remnant.objects.count() == 1 and len(fake.collections) == 1
    sweeping.sweep()
    assert not Remnant.objects.exists() and not fake.collections


def test_what_goes_with_its_owner_is_kept_in_mind_as_well(fake, letters, bring, alice, mallory, client):
    bring("a.txt", "aaaa", into=letters())
    fake.is_broken = True
    alice.delete()
    assert Remnant.objects.count() == 1
    client.force_login(mallory)
    assert "vectors are still" not in client.get("/knowledge/").content.decode()
    fake.is_broken = False
    sweeping.sweep()
    assert not fake.collections


def test_a_document_that_was_deleted_while_it_was_away_goes_without_a_search(fake, letters, bring):
    base = letters()
    first, _second = bring("a.txt", "aaaa", into=base), bring("b.txt", "bbbb", into=base)
    fake.is_broken = True
    services.delete_document(document=first)
    fake.is_broken = False
    (collection,) = fake.collections.values()
    assert set(collection["vectors"]) == {"1", "2"}
    sweeping.sweep()
    assert set(collection["vectors"]) == {"2"}


def test_two_bases_have_two_collections(fake, letters, bring, mallory):
    base = letters()
    theirs = services.create_base(owner=mallory, name="Hers", embedding="letters", store="chroma")
    bring("a.txt", "aaaa", into=base)
    bring("hers.txt", "aaaa", into=theirs)
    assert names(base, "aaa") == ["a.txt"] and len(fake.collections) == 2


def test_it_cannot_be_chosen_where_it_does_not_run(alice, settings):
    settings.CHROMA_URL = ""
    with pytest.raises(services.KnowledgeRefused, match="APEX_CHROMA_PROGRAM"):
        services.create_base(owner=alice, name="X", embedding="words", store="chroma")
