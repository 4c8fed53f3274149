"""`/api/v1/datasets/` as Alice and as Mallory, by token."""

import json

import pytest
from django.test import Client

from accounts.services import create_token
from datasets_app import services
from datasets_app.models import Dataset
from tests.datasets_app.files import EQ_12_JSONL, chats

pytestmark = pytest.mark.django_db
DATASETS = "/api/v1/datasets/"


def client_of(user, **asked) -> Client:
    _, secret = create_token(user=user, name="test", **asked)
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def api(alice):
    return client_of(alice)


def send(client, method, address, body):
    return getattr(client, method)(address, json.dumps(body), content_type="application/json")


def test_a_file_is_brought_in_by_one_call(api, upload):
    answer = api.post(DATASETS, {"name": "EQ-12", "file": upload(EQ_12_JSONL.read_bytes(), "EQ-12.jsonl")})
    made = answer.json()
    assert answer.status_code == 201
    assert made["name"] == "EQ-12"
    assert (made["latest"]["format"], made["latest"]["row_count"]) == ("brightrun-lora-v4", 44)
    assert made["latest"]["number"] == 1
    assert made["latest"]["faults"] == []
    assert api.get(f"{DATASETS}{made['id']}/").json() == made


def test_text_is_brought_in_as_json_and_the_name_may_be_left_out(api):
    answer = send(api, "post", DATASETS, {"text": chats(3)})
    assert answer.status_code == 201
    assert answer.json()["name"] == "Examples"


def test_a_file_of_no_use_is_400_with_every_fault(api, upload):
    answer = api.post(DATASETS, {"name": "Bad", "file": upload('{"color": 1}\n{"color": 2}')})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["field"]) == ("unusable_examples", "file")
    assert "No known format fits" in error["message"]
    assert [fault["line"] for fault in error["details"]["faults"]] == [None, 1, 2]
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "file"),
        ({"name": "x"}, "file"),
        ({"name": "x" * 121, "text": "a,b"}, "name"),
        ({"name": "Help desk", "text": chats(1)}, "name"),
        ({"text": 7.5, "name": ""}, "name"),
    ],
)
def test_bad_calls_name_the_field(api, dataset, body, field):
    answer = send(api, "post", DATASETS, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field
    assert Dataset.objects.count() == 1


def test_too_much_is_413(api, upload, settings):
    settings.UPLOAD_LIMIT_BYTES = 50
    answer = api.post(DATASETS, {"name": "Big", "file": upload()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    settings.UPLOAD_LIMIT_BYTES = -1024 * 1024 + 10
    answer = api.post(DATASETS, {"name": "Big", "file": upload()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_lists_are_paged_filtered_and_ones_own(api, alice, mallory, dataset):
    services.create_dataset(owner=alice, name="Table", text="question,answer\na,b\n")
    services.create_dataset(owner=mallory, name="Hers", text=chats(1))
    page = api.get(DATASETS).json()
    assert page["count"] == 2
    assert [each["name"] for each in page["results"]] == ["Table", "Help desk"]
    assert [each["name"] for each in api.get(DATASETS, {"name": "HELP"}).json()["results"]] == ["Help desk"]
    assert [
        each["name"] for each in api.get(DATASETS, {"format": "prompt-completion"}).json()["results"]
    ] == ["Table"]
    assert [each["name"] for each in api.get(DATASETS, {"ordering": "name"}).json()["results"]] == [
        "Help desk",
        "Table",
    ]
    assert len(api.get(DATASETS, {"page_size": 1}).json()["results"]) == 1


def test_a_list_asks_a_fixed_number_of_times(api, alice, django_assert_max_num_queries):
    for number in range(8):
        services.create_dataset(owner=alice, name=f"Set {number}", text=chats(1))
    api.get(DATASETS)  # once in a while that a token was used is written down
    with django_assert_max_num_queries(6):
        assert api.get(DATASETS).json()["count"] == 8


def test_rename_and_delete(api, alice, dataset):
    services.create_dataset(owner=alice, name="Other", text=chats(1))
    address = f"{DATASETS}{dataset.pk}/"
    assert send(api, "patch", address, {"name": "Desk"}).json()["name"] == "Desk"
    assert send(api, "patch", address, {"description": "Of 2025"}).json()["description"] == "Of 2025"
    refused = send(api, "patch", address, {"name": "Other"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "name_taken")
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


def test_versions_are_added_and_listed(api, dataset, upload):
    address = f"{DATASETS}{dataset.pk}/versions/"
    answer = api.post(address, {"file": upload(chats(12), "more.jsonl")})
    assert (answer.status_code, answer.json()["number"]) == (201, 2)
    assert answer.json()["parent"] == str(dataset.versions.get(number=1).pk)
    assert [each["number"] for each in api.get(address).json()["results"]] == [2, 1]
    assert send(api, "post", address, {}).status_code == 400


def test_rows_are_paged(api, dataset):
    services.add_version(dataset=dataset, text=chats(3))
    address = f"{DATASETS}{dataset.pk}/rows/"
    page = api.get(address, {"version": 1, "page": 2, "page_size": 4}).json()
    assert page["count"] == 10
    assert [row["line"] for row in page["results"]] == [5, 6, 7, 8]
    assert set(page["results"][0]) == {"messages", "conversation", "line", "split"}
    assert api.get(address).json()["count"] == 3
    for number in ("9", "x", "²", "1" * 5000):
        assert api.get(address, {"version": number}).status_code == 404


@pytest.mark.parametrize("tail", ["", "versions/", "rows/"])
def test_mallory_gets_the_404_of_things_that_are_not_there(mallory, dataset, tail):
    hers = client_of(mallory)
    strange = hers.get(f"{DATASETS}{dataset.pk}/{tail}")
    missing = hers.get(f"{DATASETS}00000000-0000-4000-8000-000000000000/{tail}")
    assert strange.status_code == missing.status_code == 404
    assert strange.json() == missing.json()
    assert hers.get(f"{DATASETS}not-an-id/{tail}").status_code == 404


def test_mallory_changes_nothing(mallory, dataset):
    hers, address = client_of(mallory), f"{DATASETS}{dataset.pk}/"
    assert send(hers, "patch", address, {"name": "Mine"}).status_code == 404
    assert hers.delete(address).status_code == 404
    assert send(hers, "post", f"{address}versions/", {"text": chats(1)}).status_code == 404
    assert dataset.versions.count() == 1


def test_nobody_and_a_token_without_the_scope_are_refused(alice, dataset):
    assert Client().get(DATASETS).status_code == 401
    reader = client_of(alice, scopes=["read"])
    assert reader.get(DATASETS).status_code == 200
    assert send(reader, "post", DATASETS, {"text": chats(1)}).status_code == 403
    assert reader.delete(f"{DATASETS}{dataset.pk}/").status_code == 403
