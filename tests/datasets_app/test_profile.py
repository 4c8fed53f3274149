"""What the model sees: one example token by token, as page and as API."""

import json
import shutil
from pathlib import Path

import pytest
from django.conf import settings as site

from base_models.models import BaseModel
from base_models.services import register_builtin_models
from datasets_app import services
from datasets_app.models import DatasetVersion
from tests.datasets_app.files import chat, json_lines
from tests.datasets_app.test_api import client_of

pytestmark = pytest.mark.django_db
MODEL = Path(site.BASE_DIR) / "base_models" / "demo" / "model"
LONG = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "The oldest question of all. " * 20},
        {"role": "assistant", "content": "An old answer."},
        {"role": "user", "content": "Hours?"},
        {"role": "assistant", "content": "From 9 to 17."},
    ]
}


@pytest.fixture
def base_model():
    return register_builtin_models()[0]


@pytest.fixture
def page(alice_client, version, base_model):
    """The page of Alice's dataset, asked with parameters."""

    def ask(**asked):
        return alice_client.get(f"/data/{version.dataset_id}/profile/", asked)

    return ask


@pytest.fixture
def rendered(alice, version, base_model):
    """The API's twin of it for one row."""
    api = client_of(alice)

    def ask(index=0, dataset_id=version.dataset_id, **asked):
        return api.get(f"/api/v1/datasets/{dataset_id}/rows/{index}/rendered/", asked)

    return ask


@pytest.fixture
def long_one(alice):
    return services.create_dataset(owner=alice, name="Long", text=json_lines(LONG)).dataset_id


def with_template(tmp_path, template: str) -> BaseModel:
    """A base model whose chat template was changed after it was added; an empty one is taken away."""
    directory = tmp_path / "changed"
    shutil.copytree(MODEL, directory)
    (directory / "chat_template.jinja").unlink()
    if template:
        (directory / "chat_template.jinja").write_text(template)
    return BaseModel.objects.create(
        name="changed", display_name="Changed", source="directory", location=str(directory),
        directory=str(directory), is_on_this_machine=True, context=2048, sha256="c" * 64, parameters=9**9,
    )  # fmt: skip


def test_the_page_marks_what_is_learned_and_counts_it(page):
    answer = page(example=3)
    text = answer.content.decode()
    [reading] = answer.context["readings"]
    learned = [one for one in reading["head"] if one.is_trained]
    assert len(learned) == 1
    assert "".join(token.text for token in learned[0].tokens).startswith("Answer 2.")
    assert reading["trained_count"] == len(learned[0].tokens)
    assert 0 < reading["trained_count"] < reading["token_count"] == reading["whole_tokens"]
    assert "Example 3 of 10" in text and '<mark class="learned">' in text and 'class="tok special"' in text


def test_the_spans_of_the_api_are_the_text_and_say_which_are_learned(rendered):
    found = rendered(0).json()
    [reading] = found["readings"]
    assert "".join(span["text"] for span in reading["spans"]) == reading["text"]
    assert sum(span["trained"] for span in reading["spans"]) == reading["trained_tokens"]
    assert reading["tokens"] == reading["whole_tokens"] == len(reading["spans"])
    assert {key: found[key] for key in ("index", "version", "kind", "base_model", "max_length")} == {
        "index": 0, "version": 1, "kind": "chat", "base_model": "apex-demo", "max_length": 2048
    }  # fmt: skip


def test_turns_that_do_not_fit_are_named_and_struck_through(alice_client, rendered, long_one):
    whole = rendered(0, long_one).json()["readings"][0]
    cut = rendered(0, long_one, max_length=60).json()["readings"][0]
    assert cut["dropped_turns"] == 1 and [one["content"] for one in cut["dropped"]] == [
        LONG["messages"][1]["content"], "An old answer."
    ]  # fmt: skip
    assert cut["tokens"] <= 60 < cut["whole_tokens"] == whole["tokens"]
    assert "Be kind." in cut["text"] and "oldest question" not in cut["text"]
    text = alice_client.get(f"/data/{long_one}/profile/", {"max_length": 60}).content.decode()
    assert "1 turn does not fit into 60 tokens" in text and '<del class="pre">An old answer.</del>' in text


def test_an_example_that_cannot_be_cut_enough_is_shown_whole_and_said_to_be_left_out(alice_client, long_one,
                                                                                     base_model, rendered):  # fmt: skip
    found = rendered(0, long_one, max_length=16).json()["readings"][0]
    assert found["is_too_long"] and found["tokens"] == found["whole_tokens"] > 16
    text = alice_client.get(f"/data/{long_one}/profile/", {"max_length": 16}).content.decode()
    assert "a training leaves this example out" in text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "has no chat template"),
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{% for message in messages %}{{ message.content ", "cannot be read"),
    ],
)
def test_a_missing_or_refusing_template_is_explained(
    alice_client, rendered, long_one, tmp_path, template, reason
):
    with_template(tmp_path, template)
    answer = alice_client.get(f"/data/{long_one}/profile/", {"base_model": "changed"})
    text = answer.content.decode()
    assert answer.status_code == 200 and reason in text and "Choose another base model" in text
    refused = rendered(0, long_one, base_model="changed")
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["field"]) == ("template_refused", "base_model") and reason in error[
        "message"
    ]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"base_model": "gpt-9"}, "base_model"),
        ({"max_length": "15"}, "max_length"),
        ({"max_length": "many"}, "max_length"),
        ({"max_length": "2049"}, "max_length"),
    ],
)
def test_a_bad_choice_is_named_with_its_value(page, rendered, asked, field):
    answer = rendered(0, **asked)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["field"] == field
    assert str(asked[field]) in error["message"]
    assert str(asked[field]) in page(**asked).context["refused"]
    assert page(**asked).status_code == 200


def test_rows_and_versions_that_are_not_there_are_404_by_the_api_and_near_ones_on_the_page(page, rendered):
    assert rendered(10).status_code == rendered(0, version=7).status_code == 404
    assert rendered(0, version="x").status_code == 404
    assert page(example=99).context["number"] == 10
    assert page(example="x").context["number"] == page(example=0).context["number"] == 1


def test_mallory_gets_404(mallory, mallory_client, version, base_model):
    assert mallory_client.get(f"/data/{version.dataset_id}/profile/").status_code == 404
    address = f"/api/v1/datasets/{version.dataset_id}/rows/0/rendered/"
    assert client_of(mallory).get(address).status_code == 404


def test_of_a_preference_both_answers_are_shown_and_only_they_are_learned(alice_client, rendered, version):
    prompt = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"},
              {"role": "user", "content": "Hours?"}]  # fmt: skip
    row = {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": "From 9 to 17, gladly."}],
        "rejected": [{"role": "assistant", "content": "Look it up."}],
        "conversation": "1", "line": 1, "split": "train",
    }  # fmt: skip
    preferences = stored(version, [row], kind="preference")
    chosen, rejected = rendered(0, preferences.dataset_id, version=2).json()["readings"]
    assert (chosen["side"], rejected["side"]) == ("chosen", "rejected")
    learned = "".join(span["text"] for span in chosen["spans"] if span["trained"])
    assert learned.startswith("From 9 to 17, gladly.") and "Yes?" not in learned
    text = alice_client.get(f"/data/{preferences.dataset_id}/profile/", {"version": 2}).content.decode()
    assert text.index("The better answer") < text.index("The worse answer")


def stored(version: DatasetVersion, rows: list[dict], kind: str) -> DatasetVersion:
    """The next version of a dataset, of these rows as they are."""
    from apex.common import files

    kept = files.put_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    return DatasetVersion.objects.create(
        owner=version.owner, dataset=version.dataset, number=version.number + 1, made_by="upload", kind=kind,
        format="messages", rows_sha256=kept.sha256, source_sha256=kept.sha256, row_count=len(rows),
        train_count=len(rows), held_out_count=0, conversation_count=len(rows),
    )  # fmt: skip


def test_without_a_base_model_the_page_says_what_to_do(alice_client, version):
    text = alice_client.get(f"/data/{version.dataset_id}/profile/").content.decode()
    assert "There is no base model on this machine." in text


def test_the_example_alone_comes_to_the_one_who_turns_pages(alice_client, version, base_model):
    headers = {"HX-Request": "true", "HX-Target": "example"}
    answer = alice_client.get(f"/data/{version.dataset_id}/profile/?example=2", headers=headers)
    text = answer.content.decode()
    assert text.strip().startswith('<section class="section-tight" id="example"') and "<html" not in text


def test_line_breaks_and_markup_in_a_text_are_drawn_as_they_are(alice_client, alice, base_model):
    text = json_lines(chat("<script>alert(1)</script>", "one\n\ttwo"))
    made = services.create_dataset(owner=alice, name="Odd", text=text)
    answer = alice_client.get(f"/data/{made.dataset_id}/profile/").content.decode()
    assert "<script>alert" not in answer
    assert '<span class="sign" aria-hidden="true">↵</span>\n' in answer
    assert '<span class="sign" aria-hidden="true">⇥</span>' in answer
