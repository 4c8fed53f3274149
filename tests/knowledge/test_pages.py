"""The Knowledge pages and their API, over HTTP, as Alice."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from knowledge import execution, services
from knowledge.models import Document, DocumentStatus, KnowledgeBase
from tests.common.servers import serving
from tests.knowledge.files import pdf

pytestmark = pytest.mark.django_db(transaction=True)
GUIDE = "# Gate\n\nThe gate opens at six."


def text_of(response) -> str:
    return " ".join(response.content.decode().split())


def page(name, *ids) -> str:
    return reverse(f"knowledge:{name}", args=ids)


def upload(name="guide.md", content=GUIDE) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content if isinstance(content, bytes) else content.encode())


def test_the_empty_list_shows_the_door(alice_client):
    text = text_of(alice_client.get(page("base-list")))
    assert "You have no knowledge base yet" in text and page("base-add") in text


def test_a_base_is_made_and_documents_are_dropped_on_it(alice_client, alice):
    answer = alice_client.post(page("base-add"), {"name": "Harbour", "embedding": "words"})
    base = KnowledgeBase.objects.get(owner=alice)
    assert answer.url == page("base-detail", base.pk)
    assert "There is no document in it yet" in text_of(alice_client.get(answer.url))
    two = {"file": [upload(), upload("empty.txt", "")]}
    text = text_of(alice_client.post(page("document-add", base.pk), two, follow=True))
    assert "1 document is on its way." in text and "empty.txt" in text and "Bring one that holds text" in text
    assert "waits for its turn" in text
    assert "1 being read" in text_of(alice_client.get(page("base-list")))


def test_a_name_that_is_taken_is_refused_in_words(alice_client, base):
    answer = alice_client.post(page("base-add"), {"name": base.name, "embedding": "words"})
    assert answer.status_code == 422 and "already; choose another name" in text_of(answer)


def test_the_live_part_says_what_went_wrong_and_offers_to_try_again(alice_client, base, bring):
    document = bring("scan.pdf", pdf("", ""))
    part = alice_client.get(page("base-detail", base.pk), headers={"HX-Request": "true"})
    text = text_of(part)
    assert (
        text.startswith("<section") and "OCR" in text and page("document-again", base.pk, document.pk) in text
    )
    alice_client.post(page("document-again", base.pk, document.pk))
    assert Document.objects.get().status == DocumentStatus.QUEUED


def test_a_search_leads_to_the_piece_in_its_document(alice_client, base, bring):
    document = bring("guide.md", GUIDE)
    answer = alice_client.get(
        page("base-detail", base.pk), {"q": "when gate opens"}, headers={"HX-Request": "true"}
    )
    chunk = document.chunks.get()
    address = f"{page('document-detail', base.pk, document.pk)}?piece={chunk.pk}"
    assert address in text_of(answer) and "The gate opens at six." in text_of(answer)
    text = text_of(alice_client.get(address))
    assert '<mark id="piece"># Gate The gate opens at six.</mark>' in text
    gone = alice_client.get(page("document-detail", base.pk, document.pk), {"piece": "no such piece"})
    assert "not there any more" in text_of(gone)
    nothing = alice_client.get(page("base-detail", base.pk), {"q": "zebra"})
    assert "Nothing in these documents speaks of that" in text_of(nothing)


def test_a_document_cannot_speak_as_the_page(alice_client, base, bring):
    document = bring("evil.txt", "<script>alert(1)</script> gate")
    for address in (page("document-detail", base.pk, document.pk), page("base-detail", base.pk) + "?q=gate"):
        assert "<script>alert(1)" not in alice_client.get(address).content.decode()
    file = alice_client.get(page("document-file", base.pk, document.pk))
    assert (
        file["Content-Disposition"].startswith("attachment")
        and file["Content-Type"] == "application/octet-stream"
    )


def test_another_index_is_asked_for_and_called_off(alice_client, base, bring):
    bring("guide.md", GUIDE)
    wanted = {"embedding": "words", "chunk_size": 600, "chunk_overlap": 0, "store": "built_in"}
    answer = alice_client.post(page("base-index", base.pk), wanted, follow=True)
    assert "a new index waits for its turn" in text_of(answer)
    alice_client.post(page("index-call-off", base.pk))
    assert base.indexes.count() == 1
    refused = alice_client.post(page("base-index", base.pk), {**wanted, "chunk_overlap": 500})
    assert refused.status_code == 422 and "up to half" in text_of(refused)


def test_deleting_says_what_goes(alice_client, base, bring):
    document = bring("guide.md", GUIDE)
    assert "1 document goes for good" in text_of(alice_client.get(page("base-detail", base.pk)))
    alice_client.post(page("document-delete", base.pk, document.pk))
    assert not Document.objects.exists()
    alice_client.post(page("base-delete", base.pk))
    assert not KnowledgeBase.objects.exists()


def test_pages_ask_the_database_no_more_for_more_documents(
    alice_client, base, bring, django_assert_max_num_queries
):
    for number in range(6):
        bring(f"{number}.txt", f"Words {number}.")
    with django_assert_max_num_queries(16):
        alice_client.get(page("base-detail", base.pk))
    for number in range(6):
        services.create_base(owner=base.owner, name=f"b{number}", embedding="words")
    with django_assert_max_num_queries(12):
        alice_client.get(page("base-list"))


# --- the same as calls -------------------------------------------------------------------------------------------


def call(client, method, address, body=None):
    answer = client.generic(method, address, json.dumps(body or {}), content_type="application/json")
    return answer.status_code, json.loads(answer.content or b"null")


def test_the_whole_way_by_the_api(alice_client):
    code, base = call(
        alice_client, "POST", "/api/v1/knowledge-bases/", {"name": "Harbour", "embedding": "words"}
    )
    assert code == 201 and base["index"]["embedding"] == "words" and base["next_index"] is None
    address = f"/api/v1/knowledge-bases/{base['id']}"
    answer = alice_client.post(f"{address}/documents/", {"file": upload()})
    assert answer.status_code == 202 and answer.json()["status"] == "queued"
    execution.execute_document(answer.json()["id"])
    code, document = call(alice_client, "GET", f"{address}/documents/{answer.json()['id']}/")
    assert code == 200 and (document["status"], document["chunk_count"]) == ("ready", 1)
    code, found = call(
        alice_client, "POST", f"{address}/search/", {"question": "When does the gate open?", "most": 3}
    )
    assert code == 200 and found["passages"][0]["document_id"] == document["id"]
    assert found["passages"][0]["place"] == "Gate" and "quotations" in found["quoted"]
    code, again = call(alice_client, "POST", f"{address}/reindex/", {"chunk_size": 400})
    assert code == 202 and again["next_index"]["chunk_size"] == 400 and again["index"]["chunk_size"] == 1200
    assert call(alice_client, "DELETE", f"{address}/reindex/")[0] == 204
    assert (
        call(alice_client, "PATCH", f"{address}/", {"description": "All of it"})[1]["description"]
        == "All of it"
    )
    assert call(alice_client, "DELETE", f"{address}/documents/{document['id']}/")[0] == 204
    assert call(alice_client, "GET", f"{address}/documents/")[1]["count"] == 0
    assert call(alice_client, "DELETE", f"{address}/")[0] == 204
    assert call(alice_client, "GET", f"{address}/")[0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "file"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://127.0.0.1/x"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
    ],
)
def test_what_cannot_be_brought_is_refused_with_its_field(alice_client, base, body, field):
    code, said = call(alice_client, "POST", f"/api/v1/knowledge-bases/{base.pk}/documents/", body)
    assert code == 400 and said["error"]["field"] == field and not Document.objects.exists()


def test_settings_that_make_no_sense_are_refused(alice_client, base):
    address = f"/api/v1/knowledge-bases/{base.pk}/reindex/"
    for body, field in (
        ({"chunk_size": 300, "chunk_overlap": 200}, "chunk_overlap"),
        ({"embedding": "provider"}, "embedding"),
        ({"embedding": "nonsense"}, "embedding"),
    ):
        code, said = call(alice_client, "POST", address, body)
        assert code == 400 and said["error"]["field"] == field


def test_too_large_is_said_before_it_is_kept(alice_client, base, settings, own_storage):
    settings.DOCUMENT_LIMIT_BYTES = 1024 * 1024
    answer = alice_client.post(
        f"/api/v1/knowledge-bases/{base.pk}/documents/", {"file": upload("big.txt", "x" * 1_100_000)}
    )
    assert answer.status_code == 400 and "2 MB came" in answer.json()["error"]["message"]
    assert not own_storage.exists()


def test_a_page_is_fetched_through_the_guard_and_read(base, settings):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    body = b"<html><body><h1>Hours</h1><p>The kiosk opens at ten.</p></body></html>"
    with serving() as server:
        url = server.gives("/hours", body, Content_Type="text/html; charset=utf-8")
        document = services.add_url(base=base, url=url)
        execution.execute_document(str(document.pk))
        document = Document.objects.get(pk=document.pk)
        assert (document.status, document.kind, document.message) == ("ready", "html", "")
    again = services.read_again(document=document)
    assert again.number == 2 and again.replaces == document
    execution.execute_document(str(again.pk))
    again = Document.objects.get(pk=again.pk)
    assert again.status == DocumentStatus.REFUSED and "nobody answers there" in again.message
    assert Document.objects.filter(pk=document.pk).exists(), "the old one still answers"
