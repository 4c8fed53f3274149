"""Rows of every kind on the page and in the API."""

import json

import pytest
from django.urls import reverse

from datasets_app import selectors, services
from serving.selectors import shared_instruction, suggested_prompts
from tests.datasets_app.files import chat, json_lines

pytestmark = pytest.mark.django_db

CALL = {"id": "c1", "type": "function", "function": {"name": "find_hours", "arguments": '{"town": "Ankara"}'}}
TOOL = {"type": "function", "function": {"name": "find_hours", "description": "Opening hours of a town"}}
WITH_TOOLS = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "When in Ankara?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "9-17"},
        {"role": "assistant", "content": "From 9 to 17."},
    ],
    "tools": [TOOL],
}
TEXT = {"text": "The sun rises in the east."}
PREFERENCE = {"prompt": "Sea or hills?", "chosen": "The sea.", "rejected": "Neither of them."}
UNPAIRED = {"prompt": "Sea or hills?", "completion": "Go away.", "label": False}


@pytest.fixture
def make(alice):
    def make(*rows, name="Rows"):
        return services.create_dataset(owner=alice, name=name, text=json_lines(*rows))

    return make


def page_of(client, version) -> str:
    answer = client.get(reverse("datasets:dataset-detail", args=[version.dataset_id]))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def rows_of(client, version) -> list[dict]:
    answer = client.get(f"/api/v1/datasets/{version.dataset_id}/rows/")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def test_calls_of_tools_are_bubbles_with_their_arguments(alice_client, make):
    version = make(WITH_TOOLS)
    page = page_of(alice_client, version)
    arguments = "&quot;town&quot;: &quot;Ankara&quot;"
    offered, asked = (
        ("1 tool it may call", "Opening hours of a town"),
        ("calls the tool", "find_hours", arguments),
    )
    for words in (*offered, *asked, "What the tool answered", "9-17", "From 9 to 17."):
        assert words in page, words
    (row,) = rows_of(alice_client, version)
    assert row["messages"][2]["tool_calls"] == [CALL]
    assert row["messages"][3]["tool_call_id"] == "c1"
    assert row["tools"] == [TOOL]


def test_a_plain_text_is_shown_whole(alice_client, make):
    version = make(TEXT)
    assert (version.kind, version.format) == ("text", "text")
    page = page_of(alice_client, version)
    assert TEXT["text"] in page and "All of it is learned" in page
    (row,) = rows_of(alice_client, version)
    assert (row["text"], row["messages"]) == (TEXT["text"], [])


def test_chosen_and_rejected_stand_side_by_side(alice_client, make):
    version = make(PREFERENCE)
    page = page_of(alice_client, version)
    sides = page.partition('class="sides"')[2]
    assert "The better answer" in sides and "The sea." in sides
    assert "The worse answer" in sides and "Neither of them." in sides
    assert "Sea or hills?" in page.partition('class="sides"')[0]
    latest = alice_client.get(f"/api/v1/datasets/{version.dataset_id}/").json()["latest"]
    assert (latest["kind"], latest["verdict"], latest["format"]) == ("preference", "accept", "preference")
    (row,) = rows_of(alice_client, version)
    assert row["chosen"] == [{"role": "assistant", "content": "The sea."}]
    assert row["prompt"] == [{"role": "user", "content": "Sea or hills?"}]


def test_an_answer_that_is_marked_shows_its_mark(alice_client, make):
    version = make(UNPAIRED, {**UNPAIRED, "completion": "Both.", "label": True})
    page = page_of(alice_client, version)
    assert "Marked as bad" in page and "Go away." in page
    assert [row["label"] for row in rows_of(alice_client, version)] == [False, True]


def test_a_stranger_sees_none_of_it(mallory_client, make):
    version = make(PREFERENCE)
    assert (
        mallory_client.get(reverse("datasets:dataset-detail", args=[version.dataset_id])).status_code == 404
    )


def test_what_is_compared_is_not_marked_as_learned(make):
    shown = selectors.preview(make(PREFERENCE), 0)
    assert not any(turn["learned"] for turn in shown["turns"])
    assert [answer["side"] for answer in shown["answers"]] == ["chosen", "rejected"]


def test_questions_to_try_come_from_every_kind(make):
    kept = make(chat("What are your hours?", split="held_out"), name="a")
    assert suggested_prompts(kept) == ["What are your hours?"]
    assert suggested_prompts(make({**PREFERENCE, "split": "held_out"}, name="b")) == ["Sea or hills?"]
    texts = make({**TEXT, "split": "held_out"}, name="c")
    assert suggested_prompts(texts) == []
    assert shared_instruction(texts) == ""


def test_every_format_has_words_for_people():
    from datasets_app.formats import FORMATS

    assert set(FORMATS) <= set(selectors.FORMAT_WORDS)


def test_arguments_that_are_no_json_are_shown_as_they_are():
    call = {"function": {"name": "f", "arguments": "{broken"}}
    row = {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    assert selectors.shown_row(row, "chat")["turns"][0]["calls"] == [{"name": "f", "arguments": "{broken"}]
    assert json.loads(json.dumps(selectors.shown_row(row, "chat")))
