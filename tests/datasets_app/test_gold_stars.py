"""Gold stars: listed by filter, exported in every shape, and read back."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from datasets_app import selectors, services
from datasets_app.curation import row_key
from datasets_app.curation.exports import SHAPES
from datasets_app.models import Dataset, MadeBy, Review
from datasets_app.selectors import StarFilter
from tests.datasets_app.files import chat

pytestmark = pytest.mark.django_db
SYSTEM = {"role": "system", "content": "Be kind."}
LONG = {
    "messages": [
        SYSTEM,
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2."},
    ]
}
CONTEXT = {"messages": [*LONG["messages"][:2], LONG["messages"][2] | {"weight": 0}, *LONG["messages"][3:]]}
CALL = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
TOOLS = {
    "messages": [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "noon", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is noon."},
    ],
    "tools": [
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
    ],
}


def star(owner, *rows, **said):
    return [
        services.record_review(owner=owner, reviewer=owner, row=row, source="chat", verdict="star", **said)
        for row in rows
    ]


def exported(owner, shape, **wanted) -> list[dict]:
    file = services.export_gold_stars(owner=owner, shape=shape, wanted=StarFilter(**wanted))
    return [json.loads(line) for line in file.content.splitlines()]


# --- The list ---------------------------------------------------------------------------------------------------


def test_stars_are_found_by_every_filter(alice, version, dataset):
    services.review_row(
        version=version, reviewer=alice, number=0, verdict="star", rating=5, tags=["Größe"], note="Warm"
    )
    services.review_row(version=version, reviewer=alice, number=1, verdict="reject")
    star(alice, chat("Wie groß?", 'Drei "Meter".'), rating=3)

    def found(**query) -> int:
        return selectors.gold_stars(alice, StarFilter.from_query(query)).count()

    assert found() == 2
    assert found(dataset=str(dataset.pk)) == found(dataset="Help desk") == 1
    assert found(dataset="00000000-0000-0000-0000-000000000000") == found(dataset="Nothing") == 0
    assert (found(rater="alice"), found(rater="bob")) == (2, 0)
    assert (found(rating="5"), found(rating="3"), found(rating="1")) == (1, 1, 0)
    assert (found(tag="Größe"), found(tag="Gr")) == (1, 0)
    assert (found(text="question 0"), found(text="groß"), found(text='"Meter"'), found(text="warm")) == (
        1,
        1,
        1,
        1,
    )
    assert (found(source="chat"), found(source="dataset")) == (1, 1)
    assert (found(since="2000-01-01"), found(since="2999-01-01")) == (2, 0)
    assert (found(until="2999-01-01"), found(until="2000-01-01")) == (2, 0)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"rating": "15"}, "'15'"),
        ({"since": "soon"}, "'soon'"),
        ({"until": "2026-02-31"}, "31"),
        ({"source": "x"}, "'x'"),
    ],
)
def test_a_filter_that_cannot_be_is_told_with_its_value(alice_client, query, words):
    with pytest.raises(ValueError, match=words):
        StarFilter.from_query(query)
    page = alice_client.get(reverse("datasets:gold-star-list"), query)
    assert page.status_code == 200


def test_the_page_shows_who_when_and_why(alice_client, alice, version):
    page = alice_client.get(reverse("datasets:gold-star-list")).content.decode()
    assert "There are no gold stars yet." in page
    (review,) = star(
        alice, chat("Hours?", "9 to 17."), note="Short <b>and</b> right", rating=4, tags=["kind"]
    )
    page = alice_client.get(reverse("datasets:gold-star-list")).content.decode()
    assert "9 to 17." in page and "Short &lt;b&gt;and&lt;/b&gt; right" in page and "rated 4 of 5" in page
    alice_client.post(reverse("datasets:gold-star-remove", args=[review.pk]))
    review.refresh_from_db()
    assert (review.verdict, review.rating, review.note) == ("", 4, "Short <b>and</b> right")


def test_mallory_cannot_take_a_star_away(mallory_client, alice):
    (review,) = star(alice, chat())
    assert mallory_client.post(reverse("datasets:gold-star-remove", args=[review.pk])).status_code == 404
    assert Review.objects.get().verdict == "star"


# --- Shapes -----------------------------------------------------------------------------------------------------


def test_openai_holds_everything(alice):
    star(alice, LONG, CONTEXT, TOOLS)
    assert exported(alice, "openai") == [LONG, CONTEXT, TOOLS]


def test_chatml_is_one_text(alice):
    star(alice, {"messages": [SYSTEM, *chat("A?", "B.")["messages"]]})
    turns = (("system", "Be kind."), ("user", "A?"), ("assistant", "B."))
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns)
    assert exported(alice, "chatml") == [{"text": text}]


def test_alpaca_has_instruction_and_history(alice):
    star(alice, chat("A?", "B."), LONG)
    assert exported(alice, "alpaca") == [
        {"instruction": "A?", "input": "", "output": "B."},
        {
            "instruction": "Two?",
            "input": "",
            "output": "2.",
            "system": "Be kind.",
            "history": [["One?", "1."]],
        },
    ]


def test_prompt_and_completion_are_texts_or_messages(alice):
    star(alice, chat("A?", "B."), CONTEXT)
    assert exported(alice, "prompt-completion") == [
        {"prompt": "A?", "completion": "B."},
        {"prompt": LONG["messages"][:-1], "completion": LONG["messages"][-1:]},
    ]


def test_prompt_and_completion_cannot_say_that_an_earlier_answer_is_learned(alice):
    star(alice, LONG)
    with pytest.raises(services.NothingToExport, match="earlier answer"):
        exported(alice, "prompt-completion")


def test_an_edit_is_what_is_exported(alice):
    star(alice, chat("A?", "B."), edited={"messages": chat("A?", "Better.")["messages"]})
    assert exported(alice, "alpaca")[0]["output"] == "Better."


def test_an_edited_answer_is_preferred_to_what_it_was(alice):
    star(alice, chat("A?", "B."), edited={"messages": chat("A?", "Better.")["messages"]})
    assert exported(alice, "preference") == [
        {
            "prompt": [{"role": "user", "content": "A?"}],
            "chosen": [{"role": "assistant", "content": "Better."}],
            "rejected": [{"role": "assistant", "content": "B."}],
        }
    ]


def test_a_starred_answer_is_preferred_to_a_rejected_one_of_the_same_question(alice):
    star(alice, chat("A?", "Good."), chat("Alone?", "Yes."))
    services.record_review(
        owner=alice, reviewer=alice, row=chat("A?", "Bad."), source="chat", verdict="reject"
    )
    file = services.export_gold_stars(owner=alice, shape="preference", wanted=StarFilter())
    (pair,) = [json.loads(line) for line in file.content.splitlines()]
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("Good.", "Bad.")
    assert list(file.skipped.values()) == [1]


def test_an_approved_pair_is_exported_as_it_is(alice):
    pair = {
        "prompt": [{"role": "user", "content": "A?"}],
        "chosen": [{"role": "assistant", "content": "B."}],
        "rejected": [{"role": "assistant", "content": "C."}],
    }
    star(alice, pair)
    assert exported(alice, "preference") == [pair]
    assert exported(alice, "openai") == [{"messages": pair["prompt"] + pair["chosen"]}]


def test_what_cannot_go_is_skipped_and_counted_by_reason(alice):
    bad = {
        "prompt": [{"role": "user", "content": "A?"}],
        "completion": [{"role": "assistant", "content": "B"}],
        "label": False,
    }
    marks = chat("What is <|im_start|>?", "A mark.")
    star(alice, chat(), {"text": "Only text."}, CONTEXT, TOOLS, bad, marks)
    file = services.export_gold_stars(owner=alice, shape="chatml", wanted=StarFilter())
    assert file.count == 1
    assert sorted(file.skipped.values()) == [1, 1, 1, 1, 1]
    assert any("tools" in reason for reason in file.skipped)
    assert file.name.startswith("gold-stars-20") and file.name.endswith(".jsonl")


def test_nothing_to_export_is_a_clear_sentence(alice, alice_client):
    with pytest.raises(services.NothingToExport, match="There are no gold stars yet"):
        exported(alice, "openai")
    star(alice, {"text": "Only text."})
    with pytest.raises(services.NothingToExport, match="plain text"):
        exported(alice, "alpaca")
    with pytest.raises(services.NothingToExport, match="Loosen"):
        exported(alice, "openai", tag="none")
    with pytest.raises(ValueError, match="'xml'"):
        exported(alice, "xml")
    answer = alice_client.get(reverse("datasets:gold-star-export"), {"as": "alpaca"}, follow=True)
    assert "plain text" in answer.content.decode()


# --- There and back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_an_exported_file_is_read_back_as_the_same_rows(alice, shape):
    if shape == "preference":
        for number in range(3):
            edited = {"messages": [SYSTEM, *chat(f"Q{number}?", "Better.")["messages"]]}
            star(alice, {"messages": [SYSTEM, *chat(f"Q{number}?", "Worse.")["messages"]]}, edited=edited)
    else:
        star(
            alice,
            chat("Grüße?", "„Hallo“\nund 😀"),
            CONTEXT if shape == "prompt-completion" else LONG,
            {"messages": [SYSTEM, *chat("A?", "B.")["messages"]]},
        )
        if shape == "openai":
            star(alice, CONTEXT, TOOLS)
    file = services.export_gold_stars(owner=alice, shape=shape, wanted=StarFilter())
    version = services.dataset_from_gold_stars(owner=alice, name="Back", shape=shape, wanted=StarFilter())
    rows = selectors.rows_of(version, 0, 100)
    assert len(rows) == file.count
    if shape == "preference":
        expected = {row_key(json.loads(line)) for line in file.content.splitlines()}
    else:
        expected = {review.row_key for review in Review.objects.all()}
    assert {row_key(row) for row in rows} == expected
    assert version.made_by == MadeBy.STARRED
    assert (version.made_from["gold_stars"], version.made_from["shape"]) == (file.count, shape)


def test_a_set_of_gold_stars_is_made_on_the_page_and_by_a_call(alice, alice_client):
    star(alice, chat("A?", "B."), tags=["kind"])
    answer = alice_client.post(
        reverse("datasets:gold-star-dataset"), {"as": "openai", "name": "Best", "tag": "kind"}
    )
    made = Dataset.objects.get(name="Best")
    assert answer.url == reverse("datasets:dataset-detail", args=[made.pk])
    assert made.latest.made_from["filter"] == {"tag": "kind"}
    body = {"name": "Best", "shape": "alpaca"}
    taken = alice_client.post(
        "/api/v1/gold-stars/dataset/", json.dumps(body), content_type="application/json"
    )
    assert (taken.status_code, taken.json()["error"]["code"]) == (400, "name_taken")
    body["name"] = "Again"
    assert (
        alice_client.post(
            "/api/v1/gold-stars/dataset/", json.dumps(body), content_type="application/json"
        ).status_code
        == 201
    )
    body["shape"] = "xml"
    assert (
        alice_client.post(
            "/api/v1/gold-stars/dataset/", json.dumps(body), content_type="application/json"
        ).status_code
        == 400
    )


def test_the_file_comes_by_a_call(alice, alice_client):
    star(alice, chat("A?", "B."), {"text": "Only text."})
    answer = alice_client.get("/api/v1/gold-stars/export/", {"as": "alpaca"})
    assert json.loads(answer.content) == {"instruction": "A?", "input": "", "output": "B."}
    assert json.loads(answer["X-Apex-Skipped"]) == {"it is plain text, without a question and an answer": 1}
    assert 'filename="gold-stars-' in answer["Content-Disposition"]
    error = alice_client.get("/api/v1/gold-stars/export/", {"as": "alpaca", "rating": "15"}).json()["error"]
    assert "'15'" in error["message"]


def test_exporting_and_reading_in_one_browser_needs_signing_in(alice):
    star(alice, chat())
    assert Client().get(reverse("datasets:gold-star-export")).status_code == 302
    assert Client().get("/api/v1/gold-stars/export/").status_code in (401, 403)
