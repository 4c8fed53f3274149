import io
import zipfile

import pytest
from rest_framework.test import APIClient

from accounts.services import create_token
from tests.training.factories import make_adapter, make_metrics
from training import services
from training.models import Status, TrainingJob

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/training/jobs/"


def api(user, scopes=("read", "write")) -> APIClient:
    client = APIClient()
    _token, plain = create_token(user=user, name="script", scopes=list(scopes))
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return client


@pytest.fixture
def alice_api(alice):
    return api(alice)


def test_a_job_is_created_by_dataset_id_and_base_model_name(alice_api, version, base_model, sent):
    answer = alice_api.post(
        JOBS,
        {"name": "Coach", "dataset": str(version.dataset_id), "base_model": "tiny", "method": "sft",
         "config": {"epochs": 1, "lora_r": 8}},
    )  # fmt: skip
    assert answer.status_code == 201, answer.data
    assert (
        answer.data["status"] == "queued" and answer.data["progress"] == 0 and answer.data["adapter"] is None
    )
    assert answer.data["config"]["lora_r"] == 8
    assert alice_api.get(f"{JOBS}{answer.data['id']}/").data["base_model"] == "tiny"


def test_a_job_asks_for_memory_and_waits_where_no_device_has_as_much(alice_api, version, base_model, sent):
    wanted = {"name": "x", "dataset": "Letters", "base_model": "tiny"}
    reckoned = alice_api.post(JOBS, wanted, format="json").data["memory_bytes"]
    asked = alice_api.post(JOBS, wanted | {"memory_gb": 80.5}, format="json")
    assert (asked.status_code, asked.data["memory_bytes"]) == (201, 80_500_000_000) and 0 < reckoned < 8e9
    assert alice_api.post(JOBS, wanted | {"memory_gb": 0}, format="json").status_code == 400


def test_a_dataset_may_be_named_by_its_name_and_a_base_model_by_its_id(alice_api, version, base_model, sent):
    answer = alice_api.post(JOBS, {"name": "x", "dataset": "Letters", "base_model": str(base_model.pk)})
    assert answer.status_code == 201, answer.data


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dataset": "no such"}, "dataset"),
        ({"base_model": "no-such"}, "base_model"),
        ({"config": {"epochs": -1}}, "epochs"),
        ({"method": "magic"}, "method"),
        ({"name": ""}, "name"),
    ],
)
def test_a_bad_call_names_the_field_in_the_one_error_shape(alice_api, version, base_model, change, field):
    answer = alice_api.post(
        JOBS, {"name": "x", "dataset": "Letters", "base_model": "tiny"} | change, format="json"
    )
    assert answer.status_code == 400
    assert answer.data["error"]["field"] == field and answer.data["error"]["message"]


def test_a_job_is_cancelled_once(alice_api, job):
    answer = alice_api.post(f"{JOBS}{job.pk}/cancel/")
    assert (answer.status_code, answer.data["status"]) == (200, "cancelled")
    again = alice_api.post(f"{JOBS}{job.pk}/cancel/")
    assert (again.status_code, again.data["error"]["code"]) == (409, "conflict")


def test_metrics_and_events_come_in_order(alice_api, job):
    make_metrics(job, [{"step": step, "loss": step} for step in (2, 1)])
    rows = alice_api.get(f"{JOBS}{job.pk}/metrics/").data["results"]
    assert [(row["step"], row["loss"], row["eval_loss"]) for row in rows] == [(1, 1.0, None), (2, 2.0, None)]
    assert [row["kind"] for row in alice_api.get(f"{JOBS}{job.pk}/events/").data["results"]] == ["job.queued"]


def test_an_adapter_is_listed_and_downloads_as_a_zip(alice_api, job, tmp_path):
    adapter = make_adapter(job, tmp_path)
    assert alice_api.get(f"{JOBS}{job.pk}/").data["adapter"] == str(adapter.pk)
    assert alice_api.get("/api/v1/adapters/").data["results"][0]["model_id"] == adapter.model_id
    answer = alice_api.get(f"/api/v1/adapters/{adapter.pk}/download/")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer)))
    assert archive.namelist() == ["adapter_config.json"]


def test_a_stranger_sees_nothing_and_cannot_tell_it_from_a_wrong_id(
    mallory, job, version, base_model, tmp_path
):
    adapter = make_adapter(job, tmp_path)
    stranger = api(mallory)
    assert stranger.get(JOBS).data["results"] == []
    wrong = stranger.get(f"{JOBS}00000000-0000-0000-0000-000000000000/")
    for url in (f"{JOBS}{job.pk}/", f"{JOBS}{job.pk}/metrics/", f"{JOBS}{job.pk}/events/",
                f"/api/v1/adapters/{adapter.pk}/", f"/api/v1/adapters/{adapter.pk}/download/"):  # fmt: skip
        answer = stranger.get(url)
        assert (answer.status_code, answer.data) == (404, wrong.data)
    assert stranger.post(f"{JOBS}{job.pk}/cancel/").status_code == 404
    assert stranger.delete(f"{JOBS}{job.pk}/").status_code == 404
    answer = stranger.post(JOBS, {"name": "x", "dataset": str(version.dataset_id), "base_model": "tiny"})
    assert answer.data["error"]["field"] == "dataset"
    assert TrainingJob.objects.count() == 1


def test_a_token_needs_the_scope_of_the_call(alice, job):
    reader = api(alice, scopes=["read"])
    assert reader.get(f"{JOBS}{job.pk}/").status_code == 200
    answer = reader.post(f"{JOBS}{job.pk}/cancel/")
    assert answer.status_code == 403 and "scope" in answer.data["error"]["message"]


def test_without_a_token_there_is_nothing(job):
    assert APIClient().get(JOBS).status_code == 401


def test_an_ended_job_can_be_tried_again_and_deleted(alice_api, job):
    services.cancel_job(job=job)
    again = alice_api.post(f"{JOBS}{job.pk}/retry/")
    assert again.status_code == 201 and again.data["status"] == Status.QUEUED
    assert alice_api.delete(f"{JOBS}{job.pk}/").status_code == 204
    assert alice_api.delete(f"{JOBS}{again.data['id']}/").status_code == 409


def test_lists_filter_and_page(alice_api, job):
    assert alice_api.get(JOBS, {"status": "running"}).data["count"] == 0
    assert alice_api.get(JOBS, {"status": "queued", "page_size": 1}).data["count"] == 1


def test_a_list_asks_the_database_the_same_however_long_it_is(
    alice_api, alice, version, base_model, sent, django_assert_max_num_queries
):
    for _ in range(10):
        services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model)
    alice_api.get(JOBS)  # the first use of a token is written down
    with django_assert_max_num_queries(7):
        assert alice_api.get(JOBS).data["count"] == 10
