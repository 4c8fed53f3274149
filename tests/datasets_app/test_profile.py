"""What the model sees: one example token by token, and the whole version in plots, as page and as API."""

import json
import shutil
import uuid
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings as site
from django.core.cache import cache
from kombu.exceptions import OperationalError

from base_models.models import BaseModel
from base_models.services import register_builtin_models
from datasets_app import measuring, services, tasks, token_counts
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


def test_what_is_too_long_for_one_answer_is_left_out_before_both(rendered, version):
    chosen, rejected = shortened(rendered, version, other="Look it up. " * 8, by=1)
    assert chosen["dropped"] == rejected["dropped"] and len(chosen["dropped"]) == 2
    assert rejected["dropped_turns"] == 1 and not rejected["is_too_long"]
    assert chosen["whole_tokens"] < rejected["whole_tokens"]


def test_a_preference_of_which_one_answer_does_not_fit_is_left_out_whole(rendered, version):
    sides = shortened(rendered, version, other="Look it up. " * 30, by=60)
    assert [side["is_too_long"] for side in sides] == [True, True]


def shortened(rendered, version, *, other: str, by: int) -> list[dict]:
    """Both readings of a preference of two turns, when `by` tokens fewer fit than its longer side takes."""
    prompt = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"},
              {"role": "user", "content": "Hours?"}]  # fmt: skip
    row = {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": "Nine."}],
        "rejected": [{"role": "assistant", "content": other}],
        "conversation": "1", "line": 1, "split": "train",
    }  # fmt: skip
    preferences = stored(version, [row], kind="preference")
    whole = rendered(0, preferences.dataset_id, version=preferences.number).json()["readings"][1][
        "whole_tokens"
    ]
    asked = {"version": preferences.number, "max_length": whole - by}
    return rendered(0, preferences.dataset_id, **asked).json()["readings"]


def stored(version: DatasetVersion, rows: list[dict], kind: str) -> DatasetVersion:
    """The next version of a dataset, of these rows as they are."""
    from apex.common import files

    kept = files.put_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    return DatasetVersion.objects.create(
        owner=version.owner, dataset=version.dataset, number=version.number + 1, made_by="upload", kind=kind,
        format="messages", rows_sha256=kept.sha256, source_sha256=kept.sha256, row_count=len(rows),
        train_count=len(rows), held_out_count=0, conversation_count=len(rows),
    )  # fmt: skip


def test_both_answers_of_a_preference_are_measured_and_the_longer_counts(version, base_model):
    row = {
        "prompt": [{"role": "user", "content": "Hours?"}],
        "chosen": [{"role": "assistant", "content": "From 9 to 17, gladly, on every day of the week."}],
        "rejected": [{"role": "assistant", "content": "Look."}],
        "conversation": "1", "line": 1, "split": "held_out",
    }  # fmt: skip
    ((is_held_out, measured),) = measuring.sample_of(
        stored(version, [row], kind="preference"), base_model
    ).measured
    chosen, rejected = measured.lengths
    assert is_held_out and chosen > rejected and measured.tokens == measured.shortest == chosen
    ((_, chat), *_rest) = measuring.sample_of(version, base_model).measured
    assert chat.sides == () and chat.lengths == (chat.tokens,)


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


# --- The whole version ---


@pytest.fixture
def whole(alice, version, base_model):
    """The API's profile of a dataset."""
    api = client_of(alice)

    def ask(dataset_id=version.dataset_id, **asked):
        return api.get(f"/api/v1/datasets/{dataset_id}/profile/", asked)

    return ask


@pytest.fixture
def sent(monkeypatch):
    """What was sent to workers."""
    found = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: found.append((name, kwargs)))
    return found


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


def test_a_small_version_is_counted_whole_at_once(whole, rendered, sent):
    found = whole().json()
    lengths = sorted(rendered(number).json()["readings"][0]["tokens"] for number in range(10))
    tokens = found["tokens"]
    assert (found["is_whole"], found["is_counting"], found["rows"], sent) == (True, False, 10, [])
    assert tokens["tokens"] == sum(lengths) and tokens["longest"] == lengths[-1]
    assert tokens["median"] == lengths[4] and sum(bar["rows"] for bar in tokens["histogram"]) == 10
    assert (tokens["shortened_rows"], tokens["left_out_rows"], tokens["refused_rows"]) == (0, 0, 0)
    assert found["content"]["messages"] == {"assistant": 10, "user": 10}
    assert found["content"]["duplicates"]["exact"] == 0


def test_what_a_length_would_cut_is_counted(whole, long_one, base_model):
    assert whole(long_one, max_length=60).json()["tokens"]["shortened_rows"] == 1
    assert whole(long_one, max_length=16).json()["tokens"]["left_out_rows"] == 1
    assert whole(long_one, max_length=16).json()["tokens"]["longer_share"] == 1.0


def test_the_page_describes_each_plot_and_has_its_numbers_as_a_table(alice_client, version, base_model, sent):
    text = alice_client.get(f"/data/{version.dataset_id}/profile/plots/").content.decode()
    for words in ("How long the examples are", "All fit into the 2,048 tokens", "Who speaks", "None found"):
        assert words in text
    assert (
        text.count("data-plot=")
        == text.count("The numbers as a table")
        == text.count("application/json")
        >= 4
    )
    assert "Counted over all 10 examples." in text and "vendor/plotly/plotly-cartesian.min.js" in text


def test_of_many_rows_a_seeded_sample_answers_and_a_worker_counts_the_rest(
    alice_client, version, base_model, whole, sent, monkeypatch
):
    monkeypatch.setattr(measuring, "SAMPLE", 4)
    first = whole().json()
    assert (first["is_whole"], first["is_counting"], first["tokens"]["rows"]) == (False, True, 4)
    cache.delete(measuring.sample_key(version, base_model))
    assert whole().json()["tokens"] == first["tokens"]  # the same rows again
    wanted = {"version_id": str(version.pk), "base_model_id": str(base_model.pk)}
    assert sent == [
        ("datasets_app.tasks.measure_version", wanted)
    ]  # and one worker, however often it is asked

    address = f"/data/{version.dataset_id}/profile/plots/"
    assert "from 4 of the 10 examples" in alice_client.get(address).content.decode()
    headers = {"HX-Request": "true", "HX-Target": "counting"}
    waiting = alice_client.get(address, headers=headers)
    assert waiting.content.decode().strip().startswith('<div id="counting"')

    tasks.measure_version(**wanted)
    found = whole().json()
    assert (found["is_whole"], found["is_counting"], found["tokens"]["rows"]) == (True, False, 10)
    assert alice_client.get(address, headers=headers)["HX-Retarget"] == "#whole"


def test_a_second_worker_stops_at_once_and_a_missing_version_is_no_error(
    version, base_model, sent, monkeypatch
):
    cache.set(measuring.busy_key(version, base_model), 1)
    measuring.measure_whole(version=version, base_model=base_model)
    assert cache.get(measuring.whole_key(version, base_model)) is None
    tasks.measure_version(version_id=str(uuid.uuid4()), base_model_id=str(base_model.pk))


def test_a_worker_counts_in_slices_and_goes_on_where_it_stopped(
    version, base_model, whole, sent, monkeypatch
):
    monkeypatch.setattr(measuring, "SAMPLE", 4)
    monkeypatch.setattr(measuring, "SLICE_SECONDS", 0)  # one row, and its hand is free again
    whole()
    progress = []
    while len(progress) < len(sent) < 20:
        tasks.measure_version(**sent[-1][1])
        progress.append((whole().json()["progress"] or {"done": None})["done"])
    assert progress == [*range(1, 11), None]
    found = whole().json()
    assert found["is_whole"] and found["tokens"]["rows"] == 10 and not found["is_counting"]


def test_what_takes_too_long_stays_a_sample_and_says_so(
    alice_client, version, base_model, whole, sent, monkeypatch
):
    monkeypatch.setattr(measuring, "SAMPLE", 4)
    monkeypatch.setattr(measuring, "SLICE_SECONDS", 0)
    monkeypatch.setattr(measuring, "WHOLE_SECONDS", 1e-9)
    whole()
    for _ in range(2):
        measuring.measure_whole(version=version, base_model=base_model)
    assert (whole().json()["is_whole"], whole().json()["is_counting"]) == (False, False)
    text = alice_client.get(f"/data/{version.dataset_id}/profile/plots/").content.decode()
    assert "counting all of them takes too long here" in text


def test_a_queue_that_is_down_is_said_and_the_sample_stays(
    alice_client, version, base_model, whole, monkeypatch
):
    def down(name, kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr(measuring, "SAMPLE", 4)
    monkeypatch.setattr(current_app, "send_task", down)
    assert whole().json()["problem"] == "the queue does not answer"
    text = alice_client.get(f"/data/{version.dataset_id}/profile/plots/").content.decode()
    assert "cannot be counted now: the queue does not answer" in text and "How long the examples are" in text


def test_rows_that_a_model_refuses_are_counted_and_the_first_is_named(alice_client, alice, whole, tmp_path):
    template = (
        "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('No system role') }}"
        "{% endif %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with_template(tmp_path, template)
    made = services.create_dataset(
        owner=alice, name="Two", text=json_lines(chat(), LONG, chat("Why?", "So."))
    )
    facts = whole(made.dataset_id, base_model="changed").json()["tokens"]
    assert (facts["rows"], facts["readable_rows"], facts["refused_rows"]) == (3, 2, 1)
    assert facts["first_refusal"]["number"] == 2 and "No system role" in facts["first_refusal"]["why"]
    address = f"/data/{made.dataset_id}/profile/plots/?base_model=changed"
    assert "1 example cannot be read by this model: number 2" in alice_client.get(address).content.decode()


def test_a_broken_model_and_bad_choices_are_answered_in_words(
    alice_client, version, whole, tmp_path, mallory
):
    with_template(tmp_path, "")
    address = f"/data/{version.dataset_id}/profile/plots/"
    assert "has no chat template" in alice_client.get(address, {"base_model": "changed"}).content.decode()
    assert whole(base_model="changed").status_code == 400
    assert whole(base_model="gpt-9").json()["error"]["field"] == "base_model"
    assert whole(version=9).status_code == 404
    assert client_of(mallory).get(f"/api/v1/datasets/{version.dataset_id}/profile/").status_code == 404


def test_bars_have_round_widths_and_the_last_one_is_open():
    counts = token_counts.TokenCounts()
    for number in range(1, 1001):
        counts.add(token_counts.Measured(number, number // 2, number), number, number)
    counts.add(token_counts.Measured(100_000, 50, 100_000), 1001, 1001)
    bars = counts.histogram()
    assert bars[0] == {"from": 0, "to": 49, "rows": 49} and bars[1]["rows"] == 50
    assert sum(bar["rows"] for bar in bars) == 1001 and bars[-1]["to"] is None
    again = token_counts.TokenCounts.from_dict(json.loads(json.dumps(counts.as_dict())))
    assert again.facts(500) == counts.facts(500)
    assert counts.facts(500)["left_out_rows"] == 501


# --- Other kinds of rows ---


def test_of_a_plain_text_all_is_learned_and_what_does_not_fit_is_its_end(alice_client, rendered, version):
    row = {"text": "The harbour is calm. " * 30, "conversation": "1", "line": 1, "split": "train"}
    texts = stored(version, [row], kind="text")
    whole = rendered(0, texts.dataset_id, version=2).json()["readings"][0]
    assert whole["trained_tokens"] == whole["tokens"] > 32
    cut = rendered(0, texts.dataset_id, version=2, max_length=32).json()["readings"][0]
    assert cut["tokens"] == 32 and cut["text"] + cut["cut_text"] == whole["text"]
    address = f"/data/{texts.dataset_id}/profile/"
    page = alice_client.get(address, {"version": 2, "max_length": 32}).content.decode()
    assert "tokens at the end do not fit into 32" in page
    assert "1 is shortened" in alice_client.get(f"{address}plots/?version=2&max_length=32").content.decode()


def test_a_template_without_tools_is_named_as_the_reason_for_an_example_with_tools(rendered, version):
    call = {"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Oslo"}'}}
    messages = [
        {"role": "user", "content": "High tide?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "at nine"},
        {"role": "assistant", "content": "At nine."},
    ]
    with_tools = stored(
        version, [{"messages": messages, "conversation": "1", "line": 1, "split": "train"}], kind="chat"
    )
    answer = rendered(0, with_tools.dataset_id, version=2)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "template_refused"


def test_an_unpaired_answer_is_shown_with_its_mark(alice_client, version, base_model):
    row = {
        "prompt": [{"role": "user", "content": "Hours?"}],
        "completion": [{"role": "assistant", "content": "Look it up."}],
        "label": False, "conversation": "1", "line": 1, "split": "train",
    }  # fmt: skip
    unpaired = stored(version, [row], kind="unpaired")
    text = alice_client.get(f"/data/{unpaired.dataset_id}/profile/", {"version": 2}).content.decode()
    assert "marked as bad" in text
