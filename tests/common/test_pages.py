"""Pages and answers that belong to no app."""

import pytest

from apex.templatetags import words

pytestmark = pytest.mark.django_db


def test_the_list_of_calls_is_read_from_the_schema(alice_client):
    text = alice_client.get("/api/docs/").content.decode()
    assert "/api/v1/training/jobs/{id}/cancel/" in text and "base_model" in text


def test_the_schema_is_open_to_programs(client):
    schema = client.get("/api/schema/?format=json").json()
    assert "/api/v1/training/jobs/" in schema["paths"] and schema["info"]["title"] == "Apex"


def test_pages_allow_scripts_of_this_site_only(alice_client):
    policy = alice_client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "script-src" not in policy


def test_a_wrong_address_says_where_to_go(alice_client):
    answer = alice_client.get("/no/such/page/")
    assert answer.status_code == 404 and 'href="/"' in answer.content.decode()


def test_health_says_which_part_is_down(client, settings):
    settings.REDIS_URL = "unix:///nowhere/broker.sock"
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "up" and answer.json()["broker"].startswith("down")


@pytest.mark.parametrize(
    ("filter_", "value", "said"),
    [
        (words.duration, 352, "5 min 52 s"),
        (words.duration, 59.4, "59 s"),
        (words.duration, 7260, "2 h 1 min"),
        (words.about, 20, "less than a minute"),
        (words.about, 352, "about 6 min"),
        (words.about, 7300, "about 2 hours"),
        (words.left, 12, "a few seconds"),
        (words.gigabytes, 3_100_000_000, "3.1 GB"),
        (words.gigabytes, 17_000_000, "17 MB"),
        (words.parameters, 2_533_696, "2.5 million"),
    ],
)
def test_numbers_are_said_in_plain_words(filter_, value, said):
    assert filter_(value) == said
