"""Vectors of a provider: asked with the owner's key, refused in the provider's words."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from knowledge import execution, services
from knowledge.models import Document, DocumentStatus
from knowledge.retrieval import RetrievalFailed, search
from providers.services import create_key

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def vectors_of(letters: str):
    """A server with OpenAI's `/v1/embeddings` that counts letters; what it was asked is in `asked`."""
    asked: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):  # noqa: N802 - the name that http.server looks for
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
            status, said = 200, {
                "object": "list", "model": body["model"], "usage": {"prompt_tokens": 1, "total_tokens": 1},
                "data": [
                    {"object": "embedding", "index": place, "embedding": [text.count(x) + 0.1 for x in letters]}
                    for place, text in enumerate(body["input"])
                ],
            }  # fmt: skip
            if self.headers["Authorization"] != "Bearer sk-right":
                status, said = (
                    401,
                    {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}},
                )
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def provider(settings):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    with vectors_of("abcdef") as (url, asked):
        yield url, asked


def made_with(alice, url: str, key: str):
    create_key(owner=alice, provider="custom", name="mine", key=key, base_url=url)
    return services.create_base(
        owner=alice, name="Provided", embedding="provider", provider="custom", model="text-embedding-x"
    )


def test_texts_and_questions_go_to_the_providers_model_with_the_owners_key(alice, bring, provider):
    url, asked = provider
    base = made_with(alice, url, "sk-right")
    assert bring("a.txt", "aaaa bb", into=base).status == DocumentStatus.READY
    bring("c.txt", "cccc dd", into=base)
    found = search([base], "aab", way="meaning")
    assert found[0].document_name == "a.txt"
    assert {(each["model"], each["key"]) for each in asked} == {("text-embedding-x", "Bearer sk-right")}
    index = base.active_index
    assert (index.model, index.provider, index.dimension) == ("text-embedding-x", "custom", 6)


def test_a_key_that_is_refused_is_said_and_tried_again_by_hand(alice, bring, provider):
    url, _asked = provider
    base = made_with(alice, url, "sk-wrong")
    document = bring("a.txt", "aaaa", into=base)
    assert (
        document.status == DocumentStatus.REFUSED
        and "key" in document.message
        and "sk-wrong" not in document.message
    )
    create_key(owner=alice, provider="custom", name="right", key="sk-right", base_url=url)
    services.try_again(document=document)
    execution.execute_document(str(document.pk))
    assert Document.objects.get(pk=document.pk).status == DocumentStatus.READY


def test_without_a_key_or_with_other_vectors_nothing_is_guessed(alice, bring, provider, mallory):
    url, _asked = provider
    base = made_with(alice, url, "sk-right")
    bring("a.txt", "aaaa", into=base)
    theirs = services.create_base(
        owner=mallory, name="Hers", embedding="provider", provider="custom", model="text-embedding-x"
    )
    document = bring("b.txt", "bbbb", into=theirs)
    assert document.status == DocumentStatus.REFUSED and "no key" in document.message
    base.indexes.update(dimension=5)
    with pytest.raises(RetrievalFailed, match="cannot be searched"):
        search([base], "aab")
