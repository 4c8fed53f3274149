"""Documents on their way into a base: read, cut, kept; failing in words; tried again; replaced; gone."""

import json
import sys
import time

import pytest
from django.db import connection

from accounts.models import Notice
from apex.common import files
from knowledge import building, execution, leases, publishing, reading, services, sweeping
from knowledge.embeddings import EmbeddingFailed
from knowledge.models import Chunk, Document, DocumentStatus, IndexBlock, IndexStatus, KnowledgeIndex
from knowledge.retrieval import search
from tests.knowledge.files import pdf

pytestmark = pytest.mark.django_db(transaction=True)
GUIDE = "# Gate\n\nThe gate opens at six.\n\n# Boats\n\nThe ferry leaves from berth nine at noon."


def again(document: Document) -> Document:
    return Document.objects.get(pk=document.pk)


def test_a_document_is_read_cut_and_found(base, bring, sent):
    document = bring("guide.md", GUIDE)
    assert document.status == DocumentStatus.READY and document.chunk_count == Chunk.objects.count() == 1
    assert sent[0] == ("knowledge.tasks.read_document", {"document_id": str(document.pk)})
    passage = search([base], "When does the ferry leave?")[0]
    assert "berth nine" in passage.text and passage.document_name == "guide.md" and passage.place == "Gate"
    assert passage.document_id == document.pk


def test_a_second_delivery_is_skipped(base, bring):
    document = bring("guide.md", GUIDE)
    execution.execute_document(str(document.pk))
    assert again(document).status == DocumentStatus.READY and Chunk.objects.count() == document.chunk_count


def test_a_refusal_says_why_and_rings(base, bring, alice):
    document = bring("scan.pdf", pdf("", ""))
    assert document.status == DocumentStatus.REFUSED and "OCR" in document.message
    assert "scan.pdf" in Notice.objects.get(owner=alice).text
    assert not Chunk.objects.exists()


def test_what_was_refused_is_tried_again_by_hand(base, bring):
    document = bring("scan.pdf", pdf("", ""))
    assert services.try_again(document=document) and again(document).status == DocumentStatus.QUEUED
    assert not services.try_again(document=document), "it waits already"


def test_remarks_stay_with_a_document_that_is_ready(base, bring):
    document = bring("half.pdf", pdf("The gate opens at six.", ""))
    assert document.status == DocumentStatus.READY and document.message.startswith("Page 2 had no text")


def child_says(monkeypatch, tmp_path, lines: str) -> None:
    script = tmp_path / "child.py"
    script.write_text(f"import os, signal, sys, time\n{lines}\n")
    monkeypatch.setattr(reading, "CHILD", [sys.executable, str(script)])


@pytest.mark.parametrize(
    ("lines", "status", "says"),
    [
        ("time.sleep(60)", DocumentStatus.REFUSED, "seconds"),
        (
            "x = b'x' * 200_000_000; time.sleep(60)",
            DocumentStatus.REFUSED,
            "memory",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", DocumentStatus.REFUSED, "memory or time"),
        ("sys.exit(3)", DocumentStatus.CRASHED, "broke off"),
    ],
)
def test_a_reader_that_goes_too_far_is_ended(
    base, bring, settings, monkeypatch, tmp_path, lines, status, says
):
    settings.DOCUMENT_SECONDS, settings.DOCUMENT_MEMORY_BYTES = 1.5, 150_000_000
    child_says(monkeypatch, tmp_path, lines)
    begun = time.monotonic()
    document = bring("bomb.txt", "text")
    assert (document.status, time.monotonic() - begun < 20) == (status, True)
    assert says in document.message


def test_the_reader_is_told_no_secrets_and_has_no_settings(base, bring, monkeypatch, tmp_path):
    monkeypatch.setenv("APEX_SECRET_KEYS", "x" * 40)
    words = "print(sorted(os.environ), file=sys.stderr); sys.exit(1)"
    child_says(monkeypatch, tmp_path, words)
    with pytest.raises(reading.ReaderBroke) as told:
        reading.read_document(tmp_path / "child.py", "x")
    assert "APEX" not in str(told.value) and "PATH" in str(told.value)


def test_the_same_name_again_takes_the_old_ones_place_once_it_is_ready(base, bring):
    old = bring("guide.md", GUIDE)
    stored = files.put_bytes(b"The ferry leaves from berth two now.")
    new = services.add_file(base=base, name="guide.md", stored=stored)
    assert (new.number, new.replaces) == (2, old)
    assert "berth nine" in search([base], "ferry berth")[0].text, "the old one answers meanwhile"
    execution.execute_document(str(new.pk))
    assert [passage.text for passage in search([base], "ferry berth")] == [
        "The ferry leaves from berth two now."
    ]
    assert not Document.objects.filter(pk=old.pk).exists()


def test_one_that_failed_gives_way_to_the_next_at_once(base, bring):
    bring("guide.md", b"\x7fELF")
    document = bring("guide.md", GUIDE)
    assert [each.pk for each in Document.objects.all()] == [document.pk] and document.number == 1


def test_a_worker_back_from_the_dead_writes_nothing(base, bring, monkeypatch):
    stored = files.put_bytes(GUIDE.encode())
    document = services.add_file(base=base, name="guide.md", stored=stored)
    real = publishing.prepare

    def taken_over(*args):
        prepared = real(*args)
        Document.objects.filter(pk=document.pk).update(attempt="00000000-0000-4000-8000-000000000000")
        return prepared

    monkeypatch.setattr(publishing, "prepare", taken_over)
    execution.execute_document(str(document.pk))
    assert again(document).status == DocumentStatus.READING
    assert not Chunk.objects.exists() and not IndexBlock.objects.exists()


def test_a_document_that_is_deleted_while_it_is_read_stays_deleted(base, monkeypatch):
    document = services.add_file(base=base, name="guide.md", stored=files.put_bytes(GUIDE.encode()))
    real = publishing.prepare

    def deleted(*args):
        prepared = real(*args)
        services.delete_document(document=Document.objects.get(pk=document.pk))
        return prepared

    monkeypatch.setattr(publishing, "prepare", deleted)
    execution.execute_document(str(document.pk))
    assert not Document.objects.exists() and not Chunk.objects.exists()


def test_the_sweep_goes_on_with_what_lost_its_worker_and_gives_up_in_the_end(base, settings, sent):
    document = services.add_file(base=base, name="guide.md", stored=files.put_bytes(GUIDE.encode()))
    for _try in range(settings.DOCUMENT_TRIES):
        assert leases.claim(Document, str(document.pk)) is not None
        settings.DOCUMENT_SILENT_SECONDS = -1
        del sent[:]
        sweeping.sweep()
        settings.DOCUMENT_SILENT_SECONDS = 60
    document = again(document)
    assert document.status == DocumentStatus.CRASHED and "fell silent 3 times" in document.message


def test_one_person_never_has_all_hands(base, settings, mallory):
    settings.DOCUMENTS_AT_ONCE = 2
    first, second = (
        services.add_file(base=base, name=name, stored=files.put_bytes(name.encode())) for name in ("a", "b")
    )
    theirs = services.create_base(owner=mallory, name="Hers", embedding="words")
    other = services.add_file(base=theirs, name="c", stored=files.put_bytes(b"c"))
    assert leases.claim(Document, first.pk) and leases.claim(Document, second.pk) is None
    assert leases.next_in_line() == other and leases.claim(Document, other.pk)


# --- other indexes ---------------------------------------------------------------------------------------------


def test_another_index_takes_the_place_of_the_old_one_only_when_whole(base, bring, monkeypatch):
    text = "\n\n".join(f"Berth {number} is for boats of {number} metres." for number in range(40))
    bring("berths.txt", text)
    bring("guide.md", GUIDE)
    old = base.active_index
    new = services.reindex(base=base, chunk_size=200, chunk_overlap=0)
    seen = []
    real = building.prepare

    def looked(index, *args):
        seen.append((base.active_index.pk, len(search([base], "ferry"))))
        return real(index, *args)

    monkeypatch.setattr(building, "prepare", looked)
    execution.execute_index(str(new.pk))
    assert seen == [(old.pk, 1), (old.pk, 1)], "the old one answered until then"
    assert base.active_index == new and not KnowledgeIndex.objects.filter(pk=old.pk).exists()
    assert (
        Chunk.objects.count() == Chunk.objects.filter(index=new).count() == base.active_index.chunk_count > 5
    )
    assert Document.objects.get(name="berths.txt").chunk_count > 5
    assert "ferry" in search([base], "ferry")[0].text


def test_a_document_that_comes_while_an_index_is_made_is_in_it(base, bring, monkeypatch, settings):
    settings.DOCUMENTS_AT_ONCE = 3  # so that one person has a second hand
    bring("guide.md", GUIDE)
    new = services.reindex(base=base, chunk_size=300)
    real = building.take_place
    late = []

    def brought_meanwhile(index):
        if not late:
            late.append(bring("late.txt", "The kiosk sells tickets."))
        return real(index)

    monkeypatch.setattr(building, "take_place", brought_meanwhile)
    execution.execute_index(str(new.pk))
    assert base.active_index == new and "kiosk" in search([base], "tickets kiosk")[0].text
    assert Chunk.objects.filter(index=new, document=late[0]).count() == 1


def test_an_index_that_cannot_be_made_says_why_and_tells_its_owner(base, bring, monkeypatch, alice):
    bring("guide.md", GUIDE)
    cases = [(EmbeddingFailed("The key is gone."), "The key is gone."), (KeyError("x"), "Apex itself broke")]
    for problem, words in cases:
        monkeypatch.setattr(building, "prepare", raising(problem))
        new = services.reindex(base=base, chunk_size=300)
        execution.execute_index(str(new.pk))
        new.refresh_from_db()
        assert new.status == IndexStatus.FAILED and words in new.message
        assert words in Notice.objects.filter(owner=alice).latest("created_at").text
    assert search([base], "ferry"), "the old one answers"


def raising(problem: Exception):
    def prepare(*_args):
        raise problem

    return prepare


def test_only_one_other_index_at_a_time_and_it_can_be_called_off(base, bring):
    bring("guide.md", GUIDE)
    services.reindex(base=base)
    with pytest.raises(services.KnowledgeRefused, match="already"):
        services.reindex(base=base)
    assert services.call_off_index(base=base) and base.indexes.count() == 1


def test_an_embedding_that_is_not_there_is_refused_in_words(base, monkeypatch):
    monkeypatch.setattr("knowledge.embeddings.minilm.folder", lambda: None)
    from knowledge.embeddings.minilm import encoder

    encoder.cache_clear()
    with pytest.raises(services.KnowledgeRefused, match="not installed.*embed"):
        services.reindex(base=base, embedding="minilm")


# --- deleting --------------------------------------------------------------------------------------------------


def bytes_on_disk(own_storage) -> bytes:
    name = connection.settings_dict["NAME"]
    found = [path.read_bytes() for path in own_storage.rglob("*") if path.is_file()]
    for ending in ("", "-wal", "-journal"):
        try:
            with open(f"{name}{ending}", "rb") as file:
                found.append(file.read())
        except FileNotFoundError:
            continue
    return b"".join(found)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL overwrites when it vacuums")
@pytest.mark.parametrize("what", ["document", "base"])
def test_what_is_deleted_is_on_no_disk_any_more(base, bring, own_storage, what):
    secret = "Xylophone-Quartz-7741"
    document = bring("secret.txt", f"The word is {secret}. " + "Other words. " * 2000)
    assert secret.encode() in bytes_on_disk(own_storage)
    services.delete_document(document=document) if what == "document" else services.delete_base(base=base)
    found = bytes_on_disk(own_storage)
    assert secret.encode() not in found and document.source_sha256.encode() not in found
    assert not IndexBlock.objects.exists()


def test_bytes_that_another_document_needs_stay(base, bring, alice):
    other = services.create_base(owner=alice, name="Other", embedding="words")
    first, second = bring("a.txt", "The same words."), bring("b.txt", "The same words.", into=other)
    services.delete_document(document=first)
    assert files.local_path(second.source_sha256).read_bytes() == b"The same words."
    services.delete_base(base=other)
    assert not files.storage().exists(files.storage_name(second.source_sha256))


def test_files_go_with_their_owner(base, bring, alice):
    document = bring("a.txt", "Some words.")
    alice.delete()
    for sha256 in (document.source_sha256, document.text_sha256):
        assert sha256 and not files.storage().exists(files.storage_name(sha256))


def test_the_text_is_kept_with_its_places(base, bring):
    document = bring("guide.pdf", pdf("The gate opens at six.", "Boats leave at noon."))
    kept = json.loads(files.local_path(document.text_sha256).read_text())
    assert kept["kind"] == "pdf" and kept["places"] == 2 and kept["marks"][1][1] == 2
