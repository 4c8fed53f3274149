"""The pages of versions, by the browser's requests."""

import json
import re

import pytest
from django.urls import reverse

from datasets_app import services
from datasets_app.models import Dataset, DatasetVersion
from tests.datasets_app.test_versions_deriving import rows_of
from tests.datasets_app.test_versions_recipes import bring, make, row

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(alice):
    return bring(alice, "Sums", *(row(f"What is {n}?", f"It is {n}.") for n in range(20)))


@pytest.fixture
def edit_url(version):
    return page("version-edit", version)


def page(name, version, *more):
    return reverse(f"datasets:{name}", args=[version.dataset_id, version.number, *more])


def of_set(name, version):
    return reverse(f"datasets:{name}", args=[version.dataset_id])


def said(answer, question="What is 3?"):
    """The fields that the editor sends for one question and answer."""
    return {
        "messages-count": "2",
        "messages-0-role": "user", "messages-0-content": question, "messages-0-rest": "{}", "messages-0-was": "user",
        "messages-1-role": "assistant", "messages-1-content": answer, "messages-1-rest": "{}",
        "messages-1-was": "assistant", "messages-1-learned": "on", "split": "train",
    }  # fmt: skip


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def test_the_family_shows_how_each_version_was_made(alice_client, version):
    made = make(version, "filter", mode="drop", contains="What is 7?")
    make(version, "split", share=0.3, seed=5)
    other = make(made, "filter", mode="drop", contains="What is 8?")
    services.delete_version(version=other)
    shown = text(alice_client.get(of_set("version-list", version)))
    assert "Filtered: 1 row left out" in shown and "of version 1" in shown
    assert "Split again: 30 of 100 kept aside, seed 5" in shown
    assert 'hx-get="/training/of-dataset/' in shown


def test_a_version_says_what_can_be_made_of_it(alice_client, version):
    made = make(version, "filter", mode="drop", contains="What is 7?")
    shown = text(alice_client.get(page("version-detail", made)))
    assert "Sums, version 2" in shown and "Change this set" in shown and "Remove duplicates" in shown
    assert page("version-edit", made) in shown and page("version-change", made, "mask") in shown


@pytest.mark.parametrize("make_of", ["filter", "split", "merge", "deduplicate", "clean", "mask"])
def test_each_way_has_a_page(alice_client, version, make_of):
    answer = alice_client.get(page("version-change", version, make_of))
    assert answer.status_code == 200 and "Show what would happen" in text(answer)


def test_an_unknown_way_is_not_found(alice_client, version):
    assert alice_client.get(page("version-change", version, "edit")).status_code == 404


def test_a_split_is_shown_and_then_made(alice_client, version):
    url = page("version-change", version, "split")
    asked = {"share": "25", "seed": "3", "by": "length"}
    shown = text(alice_client.post(url, asked | {"show": "1"}))
    assert "15 to learn from, 5 kept aside as a test" in shown and "Make the new version" in shown
    assert version.dataset.versions.count() == 1
    answer = alice_client.post(url, asked | {"make": "1"})
    made = version.dataset.latest
    assert answer.url == page("version-detail", made)
    assert (made.number, made.held_out_count, made.made_from["settings"]) == (
        2, 5, {"share": 0.25, "seed": 3, "by": "length"},
    )  # fmt: skip


def test_what_was_not_shown_is_not_made(alice_client, version):
    url = page("version-change", version, "split")
    shown = alice_client.post(url, {"share": "25", "seed": "3", "show": "1"}).content.decode()
    mark = re.search(r'name="shown" value="(\w+)"', shown)[1]
    answer = alice_client.post(url, {"share": "50", "seed": "3", "make": "1", "shown": mark})
    assert "You changed something since it was shown last" in text(answer)
    assert version.dataset.versions.count() == 1
    assert alice_client.post(url, {"share": "25", "seed": "3", "make": "1", "shown": mark}).status_code == 302


def test_duplicates_are_shown_in_groups_before_they_go(alice_client, alice):
    version = bring(alice, "Twice", row("Q", "A"), row("Other", "B"), row("Q", "A"))
    asked = {"near": "no", "threshold": "85", "keep": "first"}
    shown = text(alice_client.post(page("version-change", version, "deduplicate"), asked | {"show": "1"}))
    assert "3 rows → 2: 1 duplicate goes." in shown and "2 rows that are alike" in shown
    assert "stays" in shown and "goes" in shown


def test_what_cannot_be_made_is_said_and_nothing_typed_is_lost(alice_client, version):
    url = page("version-change", version, "filter")
    answer = alice_client.post(url, {"mode": "keep", "contains": "quite absent", "make": "1"})
    assert answer.status_code == 422
    assert "No row would be left" in text(answer) and 'value="quite absent"' in text(answer)
    assert "asks for nothing" in text(alice_client.post(url, {"mode": "keep", "show": "1"}))


def test_rows_are_edited_one_after_another_and_saved_as_one_version(alice_client, version, edit_url):
    answer = alice_client.post(f"{edit_url}?row=4", said("It is four.\r\nReally.") | {"keep": "1"})
    assert answer.url == f"{edit_url}?row=5"
    alice_client.post(f"{edit_url}?row=6", said("It is 5.", "What is 5?") | {"delete": "1"})
    shown = text(alice_client.get(f"{edit_url}?row=4"))
    assert "2 changes wait" in shown and "It is four. Really." in shown
    assert version.dataset.versions.count() == 1
    # Saving takes along what is typed in the open row.
    answer = alice_client.post(f"{edit_url}?row=1", said("It is nothing.", "What is 0?") | {"save": "1"})
    made = version.dataset.latest
    assert answer.url == page("version-detail", made)
    rows = rows_of(made)
    assert (made.number, made.row_count, made.made_by) == (2, 19, "edited")
    assert rows[3]["messages"][1]["content"] == "It is four.\nReally."
    assert rows[0]["messages"][1]["content"] == "It is nothing."
    assert "0 changes wait" in text(alice_client.get(edit_url))


def test_a_broken_edit_comes_back_as_it_was_typed(alice_client, edit_url):
    answer = alice_client.post(f"{edit_url}?row=4", said("   ", "My long new question") | {"keep": "1"})
    assert answer.status_code == 422
    assert "Message 2 of “messages” is empty" in text(answer) and "My long new question" in text(answer)


def test_turns_are_added_and_removed_without_losing_what_was_typed(alice_client, edit_url):
    shown = text(alice_client.post(f"{edit_url}?row=4", said("Typed just now") | {"add": "messages"}))
    assert 'name="messages-2-content"' in shown and "Typed just now" in shown
    shown = text(alice_client.post(f"{edit_url}?row=4", said("Typed just now") | {"remove": "messages-0"}))
    assert 'name="messages-1-content"' not in shown and "Typed just now" in shown


def test_a_change_is_taken_back_and_all_are_thrown_away(alice_client, edit_url):
    alice_client.post(f"{edit_url}?row=4", said("New") | {"keep": "1"})
    alice_client.post(f"{edit_url}?row=5", {"delete": "1"})
    assert "2 changes wait" in text(alice_client.get(edit_url))
    alice_client.post(f"{edit_url}?row=5", {"undo": "1"})
    assert "1 change waits" in text(alice_client.get(edit_url))
    alice_client.post(edit_url, {"discard": "1"})
    assert "0 changes wait" in text(alice_client.get(edit_url))


def test_an_old_version_is_changed_as_a_branch_only(alice_client, version, edit_url):
    make(version, "filter", mode="drop", contains="What is 7?")
    answer = alice_client.post(f"{edit_url}?row=4", said("It is four.") | {"save": "1"})
    assert answer.status_code == 422 and "version 2 is there by now" in text(answer)
    answer = alice_client.post(f"{edit_url}?row=4", said("It is four.") | {"save": "1", "branch": "on"})
    made = version.dataset.latest
    assert (made.number, made.parent) == (3, version)


def test_what_a_message_holds_beside_its_text_survives_an_edit(alice_client, alice):
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    record = {
        "messages": [
            {"role": "user", "content": "Add"},
            {"role": "assistant", "content": "First", "weight": 0},
            {"role": "user", "content": "Again"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            {"role": "assistant", "content": "It is 2."},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
    }
    try:
        version = bring(alice, "Tools", json.dumps(record), row("Q", "A"))
    except services.DatasetRefused:
        pytest.skip("tool calls are not read yet")
    url = page("version-edit", version) + "?row=1"
    shown = alice_client.get(url).content.decode()
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', shown))
    fields = {name: value.replace("&quot;", '"') for name, value in fields.items()}
    messages = rows_of(version)[0]["messages"]
    for n, message in enumerate(messages):
        fields[f"messages-{n}-role"] = message["role"]
        fields[f"messages-{n}-content"] = message["content"] or ""
        if message["role"] == "assistant" and message.get("weight", 1):
            fields[f"messages-{n}-learned"] = "on"
    fields |= {"messages-5-content": "It is two.", "split": rows_of(version)[0]["split"], "save": "1"}
    fields["tools"] = json.dumps(record["tools"])
    alice_client.post(url, fields)
    after = rows_of(version.dataset.latest)[0]
    assert after["messages"][5]["content"] == "It is two."
    assert after["messages"][3]["tool_calls"] == [call] and after["messages"][1]["weight"] == 0
    assert after["tools"] == record["tools"]


def test_two_versions_are_compared_word_by_word(alice_client, version, edit_url):
    alice_client.post(f"{edit_url}?row=4", said("It is four.") | {"save": "1"})
    shown = text(alice_client.get(of_set("version-compare", version) + "?first=1&second=2"))
    assert "19 rows are the same; 1 changed, 0 went, 0 came, 0 changed sides." in shown
    assert "<del>3</del><ins>four</ins>" in shown
    assert "Both hold the very same rows" in text(
        alice_client.get(of_set("version-compare", version) + "?first=1&second=1")
    )


def test_a_version_is_compared_with_another_set(alice_client, version, alice):
    other = bring(alice, "More sums", *(row(f"What is {n}?", f"It is {n}.") for n in range(15)))
    url = of_set("version-compare", version) + f"?first=1&second=1&with={other.dataset_id}&kind=only_first"
    shown = text(alice_client.get(url))
    assert "15 rows are the same; 0 changed, 5 went, 0 came" in shown and "Row 16 before" in shown


@pytest.mark.parametrize(
    "odd", ["?with=nothing", "?first=99999999999999999999", "?page=-7", "?kind=%00", "?first=x"]
)
def test_odd_addresses_of_a_comparison_break_nothing(alice_client, version, odd):
    make(version, "filter", mode="drop", contains="What is 7?")
    assert alice_client.get(of_set("version-compare", version) + odd).status_code in (200, 404)


@pytest.mark.parametrize("number", [0, 2, 2**31, 2**64, 10**30])
def test_a_version_that_is_not_there_is_not_found(alice_client, alice, version, number):
    for name in ("version-detail", "version-edit", "version-delete"):
        url = reverse(f"datasets:{name}", args=[version.dataset_id, number])
        assert alice_client.get(url).status_code == 404
    url = reverse("api-version-derive", args=[version.dataset_id, number])
    assert alice_client.post(url, {}, content_type="application/json").status_code == 404


def test_a_comparison_with_another_persons_set_is_not_found(alice_client, version, mallory):
    hers = bring(mallory, "Hers", row("Q", "A"))
    url = of_set("version-compare", version) + f"?with={hers.dataset_id}"
    assert alice_client.get(url).status_code == 404


def test_an_earlier_version_becomes_the_newest_again(alice_client, version):
    make(version, "filter", mode="drop", contains="What is 7?")
    answer = alice_client.post(page("version-restore", version))
    assert answer.url == page("version-detail", version.dataset.latest)
    assert rows_of(version.dataset.latest)[7]["messages"][0]["content"] == "What is 7?"


def test_erasing_asks_for_the_name_and_says_what_goes(alice_client, version):
    url = of_set("dataset-delete", version)
    shown = text(alice_client.get(url))
    assert "Erase “Sums”?" in shown and "20 in 1 version" in shown and "Nothing has learned from it" in shown
    answer = alice_client.post(url, {"name": "sum"})
    assert answer.status_code == 422 and "What came was “sum”" in text(answer) and Dataset.objects.exists()
    assert alice_client.post(url, {"name": "Sums"}).url == reverse("datasets:dataset-list")
    assert not Dataset.objects.exists()


def test_one_version_is_erased_by_its_name(alice_client, version):
    made = make(version, "filter", mode="drop", contains="What is 7?")
    url = page("version-delete", made)
    assert alice_client.post(url, {"name": "Sums v2"}).url == of_set("version-list", version)
    assert [each.number for each in DatasetVersion.objects.all()] == [1]
    assert alice_client.get(url).status_code == 404


def sent_back(alice_client, url):
    """What the editor's form would send if nothing were typed, as a browser reads it."""
    from html.parser import HTMLParser

    class Form(HTMLParser):
        def __init__(self):
            super().__init__()
            self.fields, self.area, self.choice, self.inside = {}, None, None, False

        def handle_starttag(self, tag, attrs):
            found = dict(attrs)
            if tag == "form":
                self.inside = "data-row-editor" in found
            if not self.inside:
                return
            if tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
                self.fields[found.get("name")] = found.get("value") or "on"
            elif tag == "textarea":
                self.area, self.fields[found["name"]] = found["name"], ""
            elif tag == "select":
                self.choice = found["name"]
            elif tag == "option" and self.choice and "selected" in found:
                self.fields[self.choice] = found["value"]

        def handle_endtag(self, tag):
            self.area = None if tag == "textarea" else self.area
            self.choice = None if tag == "select" else self.choice
            self.inside = self.inside and tag != "form"

        def handle_data(self, data):
            if self.area:
                # A browser leaves out the line end right behind <textarea>.
                self.fields[self.area] += data if self.fields[self.area] else data.removeprefix("\n")

    form = Form()
    form.feed(alice_client.get(url).content.decode())
    return {name: value for name, value in form.fields.items() if name}


KINDS = {
    "text": ({"text": "Once upon a time\nthere was a harbour."}, "text"),
    "preference": (
        {
            "prompt": [{"role": "user", "content": "Hi"}],
            "chosen": [{"role": "assistant", "content": "Good day."}],
            "rejected": [{"role": "assistant", "content": "What?"}],
        },
        "chosen-0-content",
    ),
    "unpaired": (
        {
            "prompt": [{"role": "user", "content": "Hi"}],
            "completion": [{"role": "assistant", "content": "Hello."}],
            "label": True,
        },
        "completion-0-content",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_are_edited_and_compared(alice_client, alice, kind):
    record, field = KINDS[kind]
    version = bring(
        alice, "Kinds", json.dumps(record), json.dumps(record).replace("Hi", "Ho").replace("Once", "Twice")
    )
    assert version.kind == kind
    url = page("version-edit", version) + "?row=1"
    fields = sent_back(alice_client, url)
    assert "0 changes wait" in text(alice_client.post(url, fields | {"keep": "1"}, follow=True))
    alice_client.post(url, fields | {field: "Quite other words.", "save": "1"})
    made = version.dataset.latest
    assert made.number == 2 and "Quite other words." in json.dumps(rows_of(made)[0])
    shown = text(alice_client.get(of_set("version-compare", version) + "?first=1&second=2"))
    assert "1 rows are the same; 1 changed" in shown and "Quite other words" in shown
    for way in ("filter", "split", "deduplicate", "mask"):
        assert alice_client.get(page("version-change", made, way)).status_code == 200
