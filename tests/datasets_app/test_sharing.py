"""Links by which guests rate: what they open, what they do not, and how agreement is told."""

import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from datasets_app import selectors, services
from datasets_app.models import Review, ShareLink

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def link(version):
    return services.make_share_link(version=version, label="Colleagues")


@pytest.fixture
def address(link):
    return reverse("datasets:shared", args=[link[1]])


class Visitor:
    """A browser of somebody without an account."""

    def __init__(self, address: str, name: str) -> None:
        self.client, self.address = Client(), address
        self.answer = self.client.post(f"{address}name/", {"name": name})

    def rows(self, after: int = 0) -> dict:
        return self.client.get(f"{self.address}rows/", {"after": after}).json()

    def rate(self, row: dict, **said):
        body = json.dumps({"row": row["number"], "row_key": row["key"], **said})
        return self.client.put(f"{self.address}rate/", body, content_type="application/json")


# --- The link ---------------------------------------------------------------------------------------------------


def test_only_a_hash_of_the_token_is_kept(link):
    made, token = link
    assert len(token) >= 43
    assert token not in json.dumps({name: str(value) for name, value in vars(made).items()})
    assert timedelta(days=13) < made.expires_at - timezone.now() < timedelta(days=14, seconds=1)


@pytest.mark.parametrize(
    ("asked", "words"), [({"days": 0}, "0"), ({"days": 366}, "366"), ({"label": "x" * 81}, "81")]
)
def test_a_link_that_cannot_be_is_told_with_its_value(version, asked, words):
    with pytest.raises(services.BadLink, match=words):
        services.make_share_link(version=version, **asked)


def ended(link):
    ShareLink.objects.filter(pk=link.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def taken_back(link):
    services.revoke_share_link(link=link)


def without_owner(link):
    link.owner.is_active = False
    link.owner.save()


@pytest.mark.parametrize("end", [ended, taken_back, without_owner])
def test_a_link_that_is_over_looks_like_one_that_never_was(link, address, end):
    visitor = Visitor(address, "Ana")
    row = visitor.rows()["rows"][0]
    end(link[0])
    over, unknown = (
        visitor.client.get(address),
        visitor.client.get(reverse("datasets:shared", args=["nonsense"])),
    )
    assert over.status_code == unknown.status_code == 404
    assert over.content == unknown.content
    assert visitor.client.get(f"{address}rows/").status_code == 404
    assert visitor.rate(row, rating=3).status_code == 404
    assert visitor.client.post(f"{address}name/", {"name": "Bo"}).status_code == 404
    assert not Review.objects.exists()


def test_guessing_is_slowed_down(client):
    answers = [client.get(reverse("datasets:shared", args=[f"guess-{n}"])).status_code for n in range(32)]
    assert set(answers[:30]) == {404} and set(answers[30:]) == {429}


# --- What a guest sees ---------------------------------------------------------------------------------------------


def test_a_guest_sees_the_label_and_nothing_of_the_owner(address, alice, dataset):
    alice.email = "alice@example.org"
    alice.save()
    visitor = Visitor(address, "Ana")
    page = visitor.client.get(address)
    words = page.content.decode()
    assert "Colleagues" in words and "You rate as Ana." in words
    for secret in (
        dataset.name,
        "alice",
        str(dataset.pk),
        'data-act="star"',
        "/data/gold-stars",
    ):
        assert secret not in words, secret
    assert page["X-Robots-Tag"] == "noindex, nofollow"
    assert page["Referrer-Policy"] == "same-origin"
    assert page["Cache-Control"] == "no-store, private"
    assert "Content-Security-Policy" in page


def test_a_guest_gets_the_content_of_rows_and_no_more(address, version):
    services.review_row(version=version, reviewer=version.owner, number=0, verdict="star", note="Mine")
    rows = Visitor(address, "Ana").rows()
    assert set(rows) == {"rows", "next", "looked_at", "progress"}
    assert len(rows["rows"]) == 10
    assert all(set(row) == {"number", "key", "row", "review"} for row in rows["rows"])
    assert "Mine" not in json.dumps(rows)
    assert rows["progress"] == {"total": 10, "seen": 0, "stars": 0, "rejected": 0}


def test_without_a_name_there_are_no_rows(client, address):
    assert "What is your name?" in client.get(address).content.decode()
    assert client.get(f"{address}rows/").status_code == 403
    assert client.put(f"{address}rate/", "{}", content_type="application/json").status_code == 403
    assert client.post(f"{address}name/", {"name": "  "}).status_code == 422
    assert client.post(f"{address}name/", {"name": "x" * 61}).status_code == 422


def test_all_guests_get_the_rows_in_the_same_order(address):
    orders = [[row["number"] for row in Visitor(address, name).rows()["rows"]] for name in ("Ana", "Bo")]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_a_guest_rates_tags_and_says_why_and_can_do_nothing_else(address, link):
    visitor = Visitor(address, "Ana")
    row = visitor.rows()["rows"][0]
    said = {"rating": 4, "tags": ["kind"], "note": "Warm.", "verdict": "star", "edited": {"messages": []}}
    assert visitor.rate(row, **said).status_code == 204
    review = Review.objects.get()
    assert (review.rating, review.tags, review.note, review.share) == (4, ["kind"], "Warm.", link[0])
    assert (review.verdict, review.edited, review.reviewer) == ("", None, None)
    assert selectors.name_of(review) == "Ana"
    assert len(visitor.rows()["rows"]) == 9


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "no JSON"),
        ("[]", "row"),
        ('{"row": "0", "row_key": "x"}', "row"),
        ('{"row": 0, "row_key": ""}', "row"),
        ('{"row": 99, "row_key": "x"}', "99"),
        ('{"row": 0, "row_key": "x"}', "Row 0"),
        ("[" * 20_000, "no JSON"),
        ('{"row": 0, "row_key": "\\ud800"}', "no JSON"),
    ],
)
def test_what_a_guest_cannot_send_is_400_with_a_reason(address, body, words):
    visitor = Visitor(address, "Ana")
    answer = visitor.client.put(f"{address}rate/", body, content_type="application/json")
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_a_rating_of_15_is_named(address):
    visitor = Visitor(address, "Ana")
    answer = visitor.rate(visitor.rows()["rows"][0], rating=15)
    assert (answer.status_code, "15" in answer.json()["error"]["message"]) == (400, True)


def test_a_guest_who_is_too_fast_waits(address, monkeypatch):
    monkeypatch.setattr("datasets_app.views.sharing.RATINGS_LIMIT", (2, 60))
    visitor = Visitor(address, "Ana")
    row = visitor.rows()["rows"][0]
    assert [visitor.rate(row, rating=n).status_code for n in (1, 2, 3)] == [204, 204, 429]


def test_two_of_the_same_name_stay_apart(address, dataset):
    for rating in (1, 5):
        visitor = Visitor(address, "Ana")
        row = next(row for row in visitor.rows()["rows"] if row["number"] == 0)
        visitor.rate(row, rating=rating)
    assert Review.objects.count() == 2
    found = selectors.agreement(dataset)
    assert [(rater.name, rater.count) for rater in found["raters"]] == [("Ana", 1), ("Ana (2)", 1)]


def test_a_cookie_of_one_link_is_worth_nothing_at_another(address, version):
    visitor = Visitor(address, "Ana")
    _other, token = services.make_share_link(version=version)
    elsewhere = reverse("datasets:shared", args=[token])
    assert visitor.client.get(f"{elsewhere}rows/").status_code == 403
    forged = Client()
    for name, morsel in visitor.client.cookies.items():
        forged.cookies[name] = morsel.value.replace("Ana", "Bob")
    assert forged.get(f"{address}rows/").status_code == 403
    cookie = next(morsel for name, morsel in visitor.client.cookies.items() if name.startswith("apex_guest_"))
    assert cookie["httponly"] and cookie["path"] == address and cookie["samesite"] == "Lax"


def test_a_link_opens_nothing_else(address, dataset):
    visitor = Visitor(address, "Ana")
    for path in (
        reverse("datasets:dataset-detail", args=[dataset.pk]),
        reverse("datasets:review-queue", args=[dataset.pk]),
        reverse("datasets:share-list", args=[dataset.pk]),
        reverse("datasets:gold-star-list"),
    ):
        assert visitor.client.get(path).status_code == 302, path
    assert visitor.client.get(reverse("api-review-list", args=[dataset.pk])).status_code in (401, 403)


def test_a_link_takes_so_many_people_and_no_more(address, monkeypatch):
    monkeypatch.setattr("datasets_app.services.sharing.GUESTS_PER_LINK", 2)
    visitors = [Visitor(address, "Ana") for _ in range(3)]
    row = visitors[0].rows()["rows"][0]
    assert [each.rate(row, rating=3).status_code for each in visitors] == [204, 204, 400]
    assert visitors[0].rate(row, rating=4).status_code == 204


# --- The owner ----------------------------------------------------------------------------------------------------


def test_the_owner_makes_a_link_sees_it_once_and_closes_it(alice_client, dataset):
    page = reverse("datasets:share-list", args=[dataset.pk])
    made = alice_client.post(page, {"label": "Colleagues", "days": "7"}).content.decode()
    assert "/data/shared/" in made
    assert "/data/shared/" not in alice_client.get(page).content.decode()
    link = ShareLink.objects.get()
    alice_client.post(reverse("datasets:share-revoke", args=[dataset.pk, link.pk]))
    link.refresh_from_db()
    assert link.revoked_at
    assert "closed" in alice_client.get(page).content.decode()
    assert alice_client.post(page, {"days": "1000"}).status_code == 422


def test_links_by_calls(alice_client, mallory_client, dataset, version):
    address = reverse("api-share-link-list", args=[dataset.pk])
    body = json.dumps({"label": "Colleagues", "days": 3})
    made = alice_client.post(address, body, content_type="application/json").json()
    assert Client().get(made["url"]).status_code == 200
    (listed,) = alice_client.get(address).json()
    assert "url" not in listed and "token" not in json.dumps(listed)
    one = reverse("api-share-link-detail", args=[dataset.pk, made["id"]])
    assert mallory_client.delete(one).status_code == 404
    assert Client().get(made["url"]).status_code == 200
    assert alice_client.delete(one).status_code == 204
    assert Client().get(made["url"]).status_code == 404
    bad = alice_client.post(address, json.dumps({"days": 400}), content_type="application/json")
    assert (bad.status_code, bad.json()["error"]["field"]) == (400, "days")


def test_agreement_is_told_in_figures_and_words(alice_client, dataset, version, address):
    def words() -> str:
        return alice_client.get(reverse("api-agreement", args=[dataset.pk])).json()["words"]

    assert "Nobody has rated anything" in words()
    for number in range(4):
        services.review_row(version=version, reviewer=version.owner, number=number, rating=number + 1)
    assert "One person" in words()
    visitor = Visitor(address, "Ana")
    rows = {row["number"]: row for row in visitor.rows()["rows"]}
    visitor.rate(rows[9], rating=5)
    assert "Nobody has rated an example that another rated" in words()
    for number in range(4):
        visitor.rate(rows[number], rating=number + 1)
    told = alice_client.get(reverse("api-agreement", args=[dataset.pk])).json()
    assert (told["alpha"], told["kappa"], told["percent"], told["overlap"]) == (1, 1, 100, 4)
    assert told["words"].startswith("They agree")
    assert told["raters"] == [{"name": "alice", "ratings": 4}, {"name": "Ana", "ratings": 5}]
    visitor.rate(rows[0], rating=5)
    visitor.rate(rows[1], rating=3)
    told = alice_client.get(reverse("api-agreement", args=[dataset.pk])).json()
    assert [each["row"] for each in told["disputed"]] == [0, 1]
    assert told["disputed"][0]["ratings"] == [{"who": "alice", "rating": 1}, {"who": "Ana", "rating": 5}]
    page = alice_client.get(reverse("datasets:share-list", args=[dataset.pk])).content.decode()
    assert "Answer 0." in page and "alice: 1" in page and "Ana: 5" in page
