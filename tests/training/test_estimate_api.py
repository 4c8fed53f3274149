import json

import pytest

from tests.training.test_api import JOBS, api
from training.models import TrainingJob

pytestmark = pytest.mark.django_db
ESTIMATE = "/api/v1/training/estimate/"


def body(version, **changes):
    return {"name": "Coach", "dataset": str(version.dataset_id), "base_model": "tiny"} | changes


def test_an_estimate_names_every_target_and_starts_nothing(alice, version, base_model, sent):
    answer = api(alice).post(ESTIMATE, body(version), format="json")
    assert answer.status_code == 200, answer.data
    found = answer.json()
    assert found["targets"][0]["kind"] == "here" and found["targets"][0]["fits"]
    assert {target["kind"] for target in found["targets"]} == {"here", "offer"}
    for target in found["targets"]:
        assert sum(part["bytes"] for part in target["memory"]) == target["memory_bytes"]
        assert target["arithmetic"] and target["seconds"] > 0
    assert [preset["name"] for preset in found["presets"]] == ["quick", "balanced", "best"]
    assert found["suggestions"] == [] and found["rows"] == 8
    assert not TrainingJob.objects.exists() and not sent


@pytest.mark.parametrize(
    ("change", "field"),
    [({"config": {"epochs": 0}}, "epochs"), ({"dataset": "no such"}, "dataset"), ({"device_count": 40}, "device_count"),
     ({"device_count": 0}, "device_count")],
)  # fmt: skip
def test_a_bad_call_names_the_field(alice, version, base_model, change, field):
    answer = api(alice).post(ESTIMATE, body(version, **change), format="json")
    assert answer.status_code == 400 and answer.data["error"]["field"] == field


def test_mallory_cannot_estimate_with_what_alice_owns(mallory, version, base_model):
    answer = api(mallory).post(ESTIMATE, body(version), format="json")
    assert answer.status_code == 400 and answer.data["error"]["field"] == "dataset"


def test_a_job_keeps_its_estimate_and_asks_for_that_memory(alice, version, base_model, sent):
    answer = api(alice).post(JOBS, body(version), format="json")
    job = TrainingJob.objects.get(pk=answer.data["id"])
    assert job.memory_bytes == job.estimate["memory_bytes"] > 0 and job.device_count == 1
    assert job.estimate["by_hardware"] and json.dumps(job.estimate)
    assert answer.data["cost_so_far"] == 0 and answer.data["cost_expected"] == 0
