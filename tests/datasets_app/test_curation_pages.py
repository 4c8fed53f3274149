"""Review pages and their API, over HTTP, as Alice and as Mallory."""

import csv
import io
import json

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.services import create_token
from datasets_app import selectors, services
from datasets_app.models import Dataset, DatasetVersion, MadeBy, Review
from tests.datasets_app.files import chat, chats, json_lines

pytestmark = pytest.mark.django_db


def client_of(user, **asked) -> Client:
    _, secret = create_token(user=user, name="test", **asked)
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def api(alice):
    return client_of(alice)


def send(client, method, address, body):
    return getattr(client, method)(address, json.dumps(body), content_type="application/json")


def url(name, dataset) -> str:
    return reverse(f"api-{name}", args=[dataset.pk])


def test_the_review_page_says_what_to_do(alice_client, dataset):
    page = alice_client.get(reverse("datasets:review-queue", args=[dataset.pk])).content.decode()
    assert "Gold star <kbd>S</kbd>" in page
    assert "data-review-words" not in page and 'id="review-words"' in page
    assert f'data-rows-url="{url("review-queue", dataset)}"' in page


def test_a_set_without_rows_of_its_own_says_so(alice_client, alice):
    empty = Dataset.objects.create(owner=alice, name="Empty")
    page = alice_client.get(reverse("datasets:review-queue", args=[empty.pk])).content.decode()
    assert "It holds nothing to review yet." in page


def test_an_erased_version_is_not_reviewed(alice_client, api, version, dataset):
    DatasetVersion.objects.filter(pk=version.pk).update(erased_at=timezone.now())
    page = alice_client.get(reverse("datasets:review-queue", args=[dataset.pk])).content.decode()
    assert "It holds nothing to review yet." in page
    assert api.get(url("review-queue", dataset)).status_code == 404
    version.refresh_from_db()
    with pytest.raises(services.NoSuchRow, match="erased"):
        services.review_row(version=version, reviewer=version.owner, number=0, verdict="star")


def test_the_queue_and_a_review_by_a_call(api, dataset):
    queue = api.get(url("review-queue", dataset)).json()
    assert [row["number"] for row in queue["rows"]] == list(range(10))
    row = queue["rows"][2]
    said = {"row": 2, "row_key": row["key"], "verdict": "star", "rating": 5, "tags": ["kind"], "note": "So."}
    answer = send(api, "put", url("review-list", dataset), said)
    assert answer.status_code == 200
    kept = answer.json()
    assert (kept["verdict"], kept["rating"], kept["tags"], kept["who"]) == ("star", 5, ["kind"], "alice")
    listed = api.get(url("review-list", dataset), {"verdict": "star"}).json()
    assert (listed["count"], listed["results"][0]) == (1, kept)
    assert api.get(url("review-list", dataset), {"verdict": "reject"}).json()["count"] == 0
    again = api.get(url("review-queue", dataset), {"show": "star"}).json()
    assert again["rows"][0]["review"]["note"] == "So."
    undone = send(api, "put", url("review-list", dataset), {"row": 2, "is_seen": False})
    assert undone.status_code == 204 and not Review.objects.exists()


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"row": 0, "rating": 15}, "rating", "15"),
        ({"row": 0, "rating": 0}, "rating", "0"),
        ({"row": 0, "verdict": "gold"}, "verdict", "gold"),
        ({"row": 10}, "row", "10"),
        ({"row": 0, "row_key": "f" * 64}, "row_key", "Row 0"),
        ({"row": 0, "edited": {"text": "x"}}, "edited", "text"),
        ({"row": -1}, "row", "0"),
        ({}, "row", "required"),
    ],
)
def test_a_review_that_cannot_be_is_400_and_names_the_value(api, dataset, said, field, words):
    answer = send(api, "put", url("review-list", dataset), said)
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (400, field)
    assert words in error["message"]


def test_a_token_that_may_only_read_cannot_judge(alice, dataset):
    reader = client_of(alice, scopes=["read"])
    assert reader.get(url("review-queue", dataset)).status_code == 200
    assert send(reader, "put", url("review-list", dataset), {"row": 0, "verdict": "star"}).status_code == 403


def test_mallory_gets_404_everywhere(mallory, dataset, version):
    review = services.review_row(version=version, reviewer=version.owner, number=0, verdict="star")
    script = client_of(mallory)
    for name in (
        "review-queue",
        "review-list",
        "review-table",
        "share-link-list",
        "agreement",
        "label-studio",
    ):
        assert script.get(url(name, dataset)).status_code == 404, name
    assert send(script, "put", url("review-list", dataset), {"row": 0, "verdict": "star"}).status_code == 404
    assert script.delete(reverse("api-gold-star-detail", args=[review.pk])).status_code == 404
    assert script.get("/api/v1/gold-stars/").json()["count"] == 0
    assert script.get("/api/v1/gold-stars/", {"dataset": str(dataset.pk)}).json()["count"] == 0
    assert script.get("/api/v1/gold-stars/export/").status_code == 400
    assert script.get("/api/v1/offered-rows/").json()["rows"] == []


def test_rows_are_offered_and_judged_by_calls(api):
    row = chat("Asked in a chat?", "Answered.")
    answer = send(api, "post", "/api/v1/offered-rows/", {"source": "chat", "rows": [row]})
    assert (answer.status_code, answer.json()) == (201, {"offered": 1})
    (waiting,) = api.get("/api/v1/offered-rows/").json()["rows"]
    said = {"row_key": waiting["key"], "verdict": "star", "note": "Good."}
    assert send(api, "put", "/api/v1/offered-rows/", said).json()["source"] == "chat"
    assert api.get("/api/v1/gold-stars/", {"source": "chat"}).json()["count"] == 1
    assert send(api, "put", "/api/v1/offered-rows/", {"row_key": "f" * 64}).status_code == 404
    assert send(api, "post", "/api/v1/offered-rows/", {"source": "mars", "rows": []}).status_code == 400


def test_offered_rows_have_a_page_of_their_own(alice_client, alice):
    address = reverse("datasets:review-offered")
    assert "Nothing waits for you." in alice_client.get(address).content.decode()
    services.offer_rows(owner=alice, source="batch", rows=[chat()])
    assert 'data-mode="offered"' in alice_client.get(address).content.decode()


# --- A version from the review ---------------------------------------------------------------------------------


def judged(version):
    """Row 1 starred, row 2 rejected, row 3 starred and edited."""
    rows = selectors.queue(version, version.owner, selectors.QueueFilter(show="all"))["rows"]
    better = json.loads(json.dumps(rows[3]["row"]))
    better["messages"][1]["content"] = "A better answer."
    for number, said in (
        (1, {"verdict": "star"}),
        (2, {"verdict": "reject"}),
        (3, {"verdict": "star", "edited": better}),
    ):
        services.review_row(version=version, reviewer=version.owner, number=number, **said)


def answers(version) -> list[str]:
    return [row["messages"][-1]["content"] for row in selectors.rows_of(version, 0, 100)]


def test_a_version_has_the_edits_and_not_the_rejected(alice_client, version, dataset):
    judged(version)
    alice_client.post(reverse("datasets:review-version", args=[dataset.pk]), {"version": 1, "keep": "all"})
    made = dataset.latest
    assert (made.number, made.made_by, made.parent) == (2, MadeBy.EDITED, version)
    assert answers(made) == [
        "Answer 0.",
        "Answer 1.",
        "A better answer.",
        *(f"Answer {n}." for n in range(4, 10)),
    ]
    assert made.made_from["review"] == {"kept": 9, "edited": 1, "left_out": 1}
    before = {row["messages"][0]["content"]: row["split"] for row in selectors.rows_of(version, 0, 100)}
    after = {row["messages"][0]["content"]: row["split"] for row in selectors.rows_of(made, 0, 100)}
    assert after == {question: before[question] for question in after}


def test_a_version_can_hold_the_gold_stars_only(api, version, dataset):
    judged(version)
    answer = send(api, "post", url("review-version", dataset), {"only_starred": True})
    assert (answer.status_code, answer.json()["row_count"]) == (201, 2)
    assert answers(dataset.latest) == ["Answer 1.", "A better answer."]


def test_a_review_that_changes_nothing_makes_no_version(api, version, dataset):
    assert (
        "Nothing has been reviewed"
        in send(api, "post", url("review-version", dataset), {}).json()["error"]["message"]
    )
    services.review_row(version=version, reviewer=version.owner, number=0, rating=3)
    answer = send(api, "post", url("review-version", dataset), {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cannot_derive")
    assert send(api, "post", url("review-version", dataset), {"only_starred": "yes"}).status_code == 400
    assert dataset.versions.count() == 1


# --- The table -------------------------------------------------------------------------------------------------


def test_the_table_of_reviews_runs_nothing_in_a_spreadsheet(alice_client, alice):
    version = services.create_dataset(owner=alice, name="Sums", text=json_lines(*chats(3).splitlines()))
    for number, note in enumerate(["=1+1", "@SUM(A1)", "+4"]):
        services.review_row(version=version, reviewer=alice, number=number, note=note, tags=["-x"])
    answer = alice_client.get(reverse("datasets:review-table", args=[version.dataset_id]))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert sorted(row["note"] for row in rows) == ["'+4", "'=1+1", "'@SUM(A1)"]
    assert {row["tags"] for row in rows} == {"'-x"}
    assert {row["who"] for row in rows} == {"alice"}


def test_a_superuser_looks_at_reviews_and_links_but_changes_none(admin_client, version):
    review = services.review_row(version=version, reviewer=version.owner, number=0, verdict="star")
    link, token = services.make_share_link(version=version, label="Colleagues")
    for model, key, words in (("review", review.pk, "Question 0?"), ("sharelink", link.pk, "Colleagues")):
        assert admin_client.get(f"/admin/datasets_app/{model}/").status_code == 200
        page = admin_client.get(f"/admin/datasets_app/{model}/{key}/change/").content.decode()
        assert words in page and link.token_hash not in page and 'name="_save"' not in page


@pytest.mark.parametrize(
    ("row", "name", "better"),
    [
        (
            {"prompt": "A?", "chosen": "Good.", "rejected": "Bad."},
            "chosen",
            [{"role": "assistant", "content": "Better."}],
        ),
        (
            {"prompt": "A?", "completion": "Bad.", "label": False},
            "completion",
            [{"role": "assistant", "content": "No."}],
        ),
        ({"text": "A long text to learn from."}, "text", "A longer text to learn from."),
    ],
)
def test_rows_of_every_kind_are_reviewed_edited_and_made_a_version(api, alice, row, name, better):
    text = json_lines(
        row, {key: f"Other {value}" if isinstance(value, str) else value for key, value in row.items()}
    )
    version = services.create_dataset(owner=alice, name="Kinds", text=text)
    first = api.get(url("review-queue", version.dataset)).json()["rows"][0]
    edited = first["row"] | {name: better}
    said = {"row": 0, "row_key": first["key"], "verdict": "star", "edited": edited}
    assert send(api, "put", url("review-list", version.dataset), said).status_code == 200
    assert send(api, "post", url("review-version", version.dataset), {}).status_code == 201
    made = version.dataset.latest
    assert (made.kind, made.row_count) == (version.kind, 2)
    assert selectors.rows_of(made, 0, 1)[0][name] == better
    page = Client()
    page.force_login(alice)
    assert page.get(reverse("datasets:gold-star-list")).status_code == 200
