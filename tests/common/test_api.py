"""What every call of `/api/v1/` shares: bodies that cannot be read, and the one shape of errors."""

import json

import pytest

from training.api.views import JobViewSet

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/training/jobs/"
SHAPE = {"code", "message", "field", "details"}


@pytest.fixture
def asking(alice_client):
    """Alice's client, which gets the answer to a fault of ours in place of the exception."""
    alice_client.raise_request_exception = False
    return alice_client


def error_of(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content
    error = json.loads(answer.content)["error"]
    assert set(error) == SHAPE
    return error


def post(client, body: str) -> dict:
    return error_of(client.post(JOBS, body, content_type="application/json"), 400)


def test_a_body_that_nests_too_deep_is_refused_in_the_one_shape(asking):
    assert "too deep" in post(asking, "[" * 100_000)["message"]


@pytest.mark.parametrize("body", [r'{"config": {"\ud800": 1}}', r'{"name": "\udfff"}', r'["\ud83d"]'])
def test_half_a_surrogate_pair_is_refused_in_the_one_shape(asking, body):
    assert "surrogate" in post(asking, body)["message"]


def test_a_whole_surrogate_pair_is_a_character(asking):
    assert post(asking, r'{"name": "\ud83d\ude42"}')["field"] == "dataset"


def test_a_broken_body_is_refused_in_the_one_shape(asking):
    assert post(asking, '{"name": ')["code"] == "parse_error"


def test_a_fault_of_ours_is_an_error_object_below_the_api_without_its_insides(asking, monkeypatch, caplog):
    monkeypatch.setattr(JobViewSet, "get_queryset", broken)
    error = error_of(asking.get(JOBS), 500)
    assert error["code"] == "server_error" and "insides" not in error["message"]
    assert "insides" in caplog.text


def test_a_fault_of_ours_is_a_page_elsewhere(asking, monkeypatch):
    monkeypatch.setattr("training.selectors.jobs_for_list", broken)
    answer = asking.get("/training/")
    assert answer.status_code == 500 and answer["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "address",
    [
        f"{JOBS}?name=%00", f"{JOBS}?queue=a%00b", f"{JOBS}?status=%00", "/api/v1/adapters/?name=%00",
        "/api/v1/adapters/?model_id=%00", "/api/v1/datasets/?name=%00", "/api/v1/datasets/?format=%00",
        "/api/v1/base-models/?source=%00",
    ],
)  # fmt: skip
def test_a_nul_in_a_filter_is_refused_before_the_database_sees_it(asking, address):
    error_of(asking.get(address), 400)


@pytest.mark.parametrize("query", ["page=%00", "ordering=%00", "page_size=%00", "nothing=%00"])
def test_a_nul_anywhere_else_in_a_query_does_no_harm(asking, query):
    assert asking.get(f"{JOBS}?{query}").status_code in (200, 404)


def broken(*args, **kwargs):
    raise RuntimeError("insides")
