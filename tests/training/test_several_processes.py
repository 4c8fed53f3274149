"""A job that asks for two devices, through the worker: two real processes of the engine, of which one is killed."""

import pytest

from training import execution, services
from training.metrics.store import StoredSteps
from training.models import Attempt, Checkpoint, Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "artifacts"},
        },
    }
    settings.ARTIFACT_CACHE = tmp_path / "cache"


def test_one_of_two_processes_is_killed_and_the_job_goes_on(alice, version, base_model, sent, settings):
    settings.TRAINING_DRILLS = True
    config = {
        "steps": 30,
        "eval_steps": 10,
        "checkpoint_steps": 5,
        "seconds_per_step": 0.05,
        "crash_at_step": 18,
    }
    job = services.start_job(
        owner=alice, name="Two", dataset_version=version, base_model=base_model, method="drill", config=config,
        device_count=2,
    )  # fmt: skip
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.QUEUED
    assert Checkpoint.objects.filter(job=job, step=15).exists()
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED
    attempts = Attempt.objects.filter(job=job).order_by("pk")
    assert [(attempt.resumed_step, attempt.device_count) for attempt in attempts] == [(0, 2), (15, 2)]
    # Step 0 is the check before the first; none is there twice.
    assert [row["step"] for row in StoredSteps(job)] == list(range(31))
    assert job.facts["started"]["processes"] == 2
