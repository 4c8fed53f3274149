"""Side by side: the page, the fragment, the two streams, and who may see them."""

import json

import pytest
from django.test import AsyncClient
from django.urls import reverse

from apex.common import files
from serving import selectors
from serving.backends.embedded import EmbeddedBackend
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.streams import read_stream


@pytest.fixture
def base_model(db, tiny):
    return make_base_model(tiny["base"])


@pytest.fixture
def adapter(alice, base_model, tiny):
    return make_adapter_row(alice, base_model, tiny["one"])


@pytest.fixture
def answering(embedded, settings):
    settings.EMBEDDED_URL = embedded.url


def ask(user, name, adapter, prompt):
    """(status, events) of one stream."""
    client = AsyncClient()
    client.force_login(user)
    return read_stream(client, reverse(f"serving:{name}", args=[adapter.pk]), prompt)


def test_the_page_and_the_fragment_name_both_and_suggest_questions(alice_client, adapter):
    for name in ("compare", "compare-part"):
        response = alice_client.get(reverse(f"serving:{name}", args=[adapter.pk]), {"prompt": "What is <b>?"})
        text = response.content.decode()
        assert response.status_code == 200
        assert reverse("serving:answer-base", args=[adapter.pk]) in text
        assert reverse("serving:answer-tuned", args=[adapter.pk]) in text
        assert "What is &lt;b&gt;?" in text
        assert response.context["suggested_prompts"] == ["q0", "q1"]
    assert "<html" not in text


def test_base_and_tuned_stream_their_own_answers(alice, adapter, answering):
    answers = []
    for name in ("answer-base", "answer-tuned"):
        status, events = ask(alice, name, adapter, "Hello, who are you?")
        assert status == 200
        *deltas, end = events
        text = "".join(event["delta"] for event in deltas)
        assert end["done"] is True
        assert end["words"] == len(text.split())
        assert end["seconds"] > 0
        answers.append(text)
    assert answers[0] != answers[1]


def test_a_stranger_and_a_visitor_get_nothing(mallory, client, adapter, mallory_client):
    for name in ("compare", "compare-part"):
        assert mallory_client.get(reverse(f"serving:{name}", args=[adapter.pk])).status_code == 404
    for name in ("answer-base", "answer-tuned"):
        assert ask(mallory, name, adapter, "Hi")[0] == 404
        response = client.post(reverse(f"serving:{name}", args=[adapter.pk]), {"prompt": "Hi"})
        assert response.status_code == 302


def test_an_empty_and_an_endless_question_are_refused(alice, adapter):
    for prompt in ("", "  ", "x" * 8001):
        assert ask(alice, "answer-base", adapter, prompt)[0] == 400


def test_a_question_beyond_the_context_is_told_in_plain_words(alice, adapter, answering):
    _, events = ask(alice, "answer-tuned", adapter, "x" * 600)
    assert "longer than the model can read" in events[-1]["error"]


def test_a_missing_process_is_told_in_plain_words(alice, adapter, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("serving.backends.embedded.RETRY_SECONDS", 0.01)
    nobody = EmbeddedBackend(f"unix://{tmp_path}/nobody.sock", wait_seconds=0.05)
    monkeypatch.setattr("serving.services.BACKENDS", {"embedded": lambda url, **_: nobody})
    _, events = ask(alice, "answer-base", adapter, "Hi")
    assert "not up yet" in events[-1]["error"]


def test_the_instruction_is_given_only_when_all_rows_share_it(adapter):
    version = adapter.dataset_version

    def rows(*systems):
        lines = [
            {
                "messages": [
                    *([{"role": "system", "content": system}] if system else []),
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "a"},
                ],
                "split": "held_out",
            }
            for system in systems
        ]
        return files.put_bytes("\n".join(map(json.dumps, lines)).encode()).sha256

    found = []
    for systems in (["Be kind.", "Be kind."], ["Be kind.", "Be short."], ["Be kind.", ""], ["", ""]):
        version.rows_sha256 = rows(*systems)
        found.append(selectors.shared_instruction(version))
    assert found == ["Be kind.", "", "", ""]
