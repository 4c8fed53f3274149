"""Copies of large indexes on disk: a process that starts reads them, and nothing that was deleted stays in one."""

import os
import time

import numpy as np
import pytest
from django.core.cache import cache

from knowledge import services, sweeping
from knowledge.models import Document, IndexBlock, KnowledgeIndex
from knowledge.packing import pack_vectors, pack_words, unpack_words
from knowledge.stores import built_in, kept, memory

pytestmark = pytest.mark.django_db
WORDS = ["gate", "harbour", "lamp", "rope", "tide"]


@pytest.fixture(autouse=True)
def small(monkeypatch, settings, tmp_path):
    """What is large elsewhere is 100 pieces here."""
    settings.KNOWLEDGE_CACHE = tmp_path / "kept"
    monkeypatch.setattr(memory, "KEPT_FROM", 100)
    monkeypatch.setattr(memory, "EXACT_MOST", 150)
    monkeypatch.setattr(memory, "KEPT_PAUSE_SECONDS", 0)
    cache.clear()


@pytest.fixture
def document(base, bring):
    return bring("a.txt", "The gate opens.")


def fill(index: KnowledgeIndex, document, count: int, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    index.refresh_from_db()
    first = index.last_number + 1
    vectors, texts = rng.normal(size=(count, 8)), [" ".join(rng.choice(WORDS, 3)) for _piece in range(count)]
    IndexBlock.objects.create(
        index=index, document=document, first_number=first, count=count,
        vectors=pack_vectors(vectors), words=pack_words(texts),
    )  # fmt: skip
    KnowledgeIndex.objects.filter(pk=index.pk).update(last_number=first + count - 1, dimension=8)
    index.refresh_from_db()


def answers(store: built_in.BuiltIn, index: KnowledgeIndex) -> list:
    questions = np.random.default_rng(9).normal(size=(5, 8))
    return [store.best_words(index, "rope gate", 20), *(store.nearest(index, q, 10) for q in questions)]


def opened(index: KnowledgeIndex, monkeypatch) -> tuple[list, int]:
    """What a process finds that starts now, and how many blocks it had to read."""
    read = []
    monkeypatch.setattr(memory, "unpack_words", lambda data: read.append(1) or unpack_words(data))
    return answers(built_in.BuiltIn(), index), len(read)


@pytest.mark.parametrize("count", [120, 400])  # compared one by one, and in clusters
def test_a_process_that_starts_finds_the_same_without_reading_the_rows(base, document, count, monkeypatch):
    index = base.active_index
    fill(index, document, count)
    first = answers(built_in.BuiltIn(), index)
    found, blocks = opened(index, monkeypatch)
    assert found == first and blocks == 0 and kept.head_of(index.pk)["seen"] == count + 1
    assert oct(kept.place_of(index.pk).parent.stat().st_mode)[-3:] == "700"


def test_what_is_new_since_is_read_and_after_a_fourth_it_is_kept_anew(base, document, monkeypatch):
    index = base.active_index
    fill(index, document, 400)
    answers(built_in.BuiltIn(), index)
    fill(index, document, 50, seed=2)
    found, blocks = opened(index, monkeypatch)
    assert blocks == 1 and max(number for number, _score in found[1]) <= 451
    assert kept.head_of(index.pk)["seen"] == 401
    fill(index, document, 100, seed=3)
    assert opened(index, monkeypatch)[1] == 2 and kept.head_of(index.pk)["seen"] == 551
    assert opened(index, monkeypatch)[1] == 0


@pytest.mark.django_db(transaction=True)
def test_what_is_deleted_is_overwritten_on_the_disk_at_once(base, document, bring):
    index, store = base.active_index, built_in.BuiltIn()
    secret = bring("b.txt", "xyzzy xyzzy")
    fill(index, document, 400)
    assert [number for number, _score in store.best_words(index, "xyzzy", 3)] == [2]
    place = kept.place_of(index.pk)
    held = os.open(place, os.O_RDONLY)  # the bytes, though the name is gone
    services.delete_document(document=secret)
    assert not place.exists() and not any(os.read(held, 1 << 20))
    os.close(held)
    assert store.best_words(index, "xyzzy", 3) == [] and kept.head_of(index.pk)["removals"] == 1
    assert built_in.BuiltIn().best_words(index, "xyzzy", 3) == []
    services.delete_base(base=base)
    assert not place.exists()


def test_a_copy_of_other_pieces_is_not_used(base, document, monkeypatch):
    """As after a backup was put back: the same numbers, given to other documents."""
    index = base.active_index
    fill(index, document, 400)
    answers(built_in.BuiltIn(), index)
    other = Document.objects.create(owner=base.owner, knowledge_base=base, name="b", status="ready")
    IndexBlock.objects.filter(count=400).update(document=other)
    assert opened(index, monkeypatch)[1] == 2


def test_a_damaged_copy_is_not_used(base, document, monkeypatch):
    index = base.active_index
    fill(index, document, 400)
    first = answers(built_in.BuiltIn(), index)
    place = kept.place_of(index.pk)
    whole = place.read_bytes()
    for at in (0, kept.HEAD_BYTES + 10, len(whole) - 1):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert opened(index, monkeypatch) == (first, 2)
    place.write_bytes(whole[: len(whole) // 2])
    assert opened(index, monkeypatch) == (first, 2)


def test_what_a_killed_process_left_behind_is_tidied_up(base, document):
    index = base.active_index
    fill(index, document, 400)
    answers(built_in.BuiltIn(), index)
    place = kept.place_of(index.pk)
    half, orphan = place.with_suffix(".x1"), place.with_name("6f1c9d4e-8b1e-4d57-9f0a-3f6a0f9f2f10.index")
    for each in (half, orphan):
        each.write_bytes(b"vectors")
    sweeping.sweep()
    assert place.exists() and half.exists() and not orphan.exists()
    os.utime(half, (time.time() - 4000,) * 2)
    KnowledgeIndex.objects.update(removals=5)  # its process was killed between the commit and this
    sweeping.sweep()
    assert kept.head_of(index.pk)["removals"] == 5 and not half.exists()


def test_the_sweep_makes_the_copy_before_anybody_searches_and_anew_when_pieces_went(
    base, document, bring, monkeypatch
):
    index = base.active_index
    second = bring("b.txt", "xyzzy")
    fill(index, document, 400)
    sweeping.sweep()
    assert opened(index, monkeypatch)[1] == 0
    services.delete_document(document=second)
    assert kept.head_of(index.pk) is None
    sweeping.sweep()
    assert kept.head_of(index.pk) is None, "it was made a moment ago"
    cache.clear()
    sweeping.sweep()
    assert opened(index, monkeypatch)[1] == 0 and kept.head_of(index.pk)["removals"] == 1
    written = kept.place_of(index.pk).stat().st_mtime_ns
    cache.clear()
    sweeping.sweep()
    assert kept.place_of(index.pk).stat().st_mtime_ns == written


def test_without_room_on_the_disk_the_rows_do(base, document, settings, tmp_path):
    index = base.active_index
    fill(index, document, 400)
    (tmp_path / "kept").write_text("a file where the folder should be")
    assert answers(built_in.BuiltIn(), index)[0]
