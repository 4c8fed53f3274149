"""What becomes of datasets, versions, jobs and adapters when data is erased."""

import pytest
from celery import current_app
from django.urls import reverse
from rest_framework.test import APIClient

from apex.common import files
from base_models.models import BaseModel
from datasets_app import selectors
from datasets_app import services as dataset_services
from datasets_app.models import Dataset, DatasetImport, DatasetVersion, Review
from datasets_app.selectors.erasing import erasure_of
from tests.training.factories import make_adapter, make_version
from training import services
from training.models import Adapter, Plan, Status, TrainingJob

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def base_model(tmp_path, settings, monkeypatch):
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "artifacts"},
        },
    }
    settings.ARTIFACT_CACHE = tmp_path / "cache"
    monkeypatch.setattr(current_app, "send_task", lambda *a, **k: None)
    return BaseModel.objects.create(
        name="tiny",
        display_name="Tiny",
        source="built_in",
        location="/x",
        directory="/x",
        is_on_this_machine=True,
    )


@pytest.fixture
def version(base_model, alice):
    return make_version(alice)


@pytest.fixture
def job(version, base_model):
    return TrainingJob.objects.create(
        owner=version.owner, name="Letters", dataset_version=version, base_model=base_model, queue="cpu"
    )


@pytest.fixture
def alice_api(alice):
    client = APIClient()
    client.force_login(alice)
    return client


@pytest.fixture
def adapter(job, tmp_path):
    (tmp_path / "adapter").mkdir()
    return make_adapter(job, tmp_path / "adapter")


def is_stored(sha256: str) -> bool:
    return files.storage().exists(files.storage_name(sha256))


def test_a_set_that_nothing_learned_from_goes_wholly(version):
    dataset_services.delete_dataset(dataset=version.dataset)
    assert not Dataset.objects.exists() and not DatasetVersion.objects.exists()
    assert not is_stored(version.rows_sha256)


def test_a_set_is_not_erased_while_a_training_waits_for_it(version, job):
    with pytest.raises(
        dataset_services.DatasetInUse, match="“Letters” stays for now: a training learns from it"
    ):
        dataset_services.delete_dataset(dataset=version.dataset)
    with pytest.raises(dataset_services.DatasetInUse):
        dataset_services.delete_version(version=version)
    assert is_stored(version.rows_sha256)


def test_what_learned_from_an_erased_set_is_marked_and_the_data_is_gone(
    version, adapter, alice, alice_client
):
    dataset_services.review_row(version=version, reviewer=alice, number=1, verdict="star")
    DatasetVersion.objects.filter(pk=version.pk).update(faults=[{"found": "a quoted row"}], fault_count=1)
    dataset_services.delete_dataset(dataset=version.dataset)
    assert not is_stored(version.rows_sha256)
    assert not Review.objects.exists() and not DatasetImport.objects.exists()
    version.refresh_from_db()
    assert version.erased_at and version.faults == [] and version.file_name == ""
    assert not Dataset.objects.for_user(alice).exists()
    assert selectors.totals(alice) == {"sets": 0, "examples": 0}
    assert alice_client.get(reverse("datasets:dataset-detail", args=[version.dataset_id])).status_code == 404
    page = alice_client.get(reverse("training:job-detail", args=[adapter.job_id])).content.decode()
    assert "The examples were erased" in page
    assert "Examples erased" in alice_client.get(reverse("training:adapter-list")).content.decode()
    compare = alice_client.get(reverse("serving:compare", args=[adapter.pk]))
    assert compare.status_code == 200


def test_the_api_says_when_the_data_was_erased(version, adapter, alice_api):
    assert alice_api.get("/api/v1/adapters/").data["results"][0]["data_erased_at"] is None
    answer = alice_api.delete(f"/api/v1/datasets/{version.dataset_id}/")
    assert answer.status_code == 204
    one = alice_api.get(f"/api/v1/adapters/{adapter.pk}/").data
    assert one["data_erased_at"] and one["rows_sha256"] == version.rows_sha256
    assert alice_api.get(f"/api/v1/training/jobs/{adapter.job_id}/").data["data_erased_at"]
    assert alice_api.get(f"/api/v1/datasets/{version.dataset_id}/").status_code == 404
    assert alice_api.get(f"/api/v1/datasets/{version.dataset_id}/rows/").status_code == 404


def test_a_training_whose_data_was_erased_is_not_tried_again(version, adapter):
    TrainingJob.objects.update(status=Status.FAILED)
    dataset_services.delete_dataset(dataset=version.dataset)
    job = TrainingJob.objects.get()
    with pytest.raises(services.StartRefused, match="Letters, version 1, were erased"):
        services.retry_job(job=job)
    assert TrainingJob.objects.count() == 1


def test_the_name_of_an_erased_set_is_free_again(version, adapter, alice):
    dataset_services.delete_dataset(dataset=version.dataset)
    again = dataset_services.create_dataset(owner=alice, name="Letters", text="Q: What?\nA: That.\n")
    assert again.dataset.pk != version.dataset_id


def test_one_version_is_erased_and_the_others_stay(version, adapter, alice):
    recipe = {"make": "filter", "settings": {"contains": "q3"}}
    small = dataset_services.derive(version=version, recipe=recipe)
    for number in (3, 4):
        dataset_services.review_row(version=version, reviewer=alice, number=number, verdict="star")
    Plan.objects.create(owner=alice, name="Half", dataset_version=version)
    dataset_services.delete_version(version=version)
    assert not is_stored(version.rows_sha256) and is_stored(small.rows_sha256)
    review = Review.objects.get()
    assert (review.version, review.row_index, review.row["messages"][0]["content"]) == (small, 0, "q3")
    assert Plan.objects.get().dataset_version is None
    dataset = Dataset.objects.for_user(alice).get()
    assert dataset.latest == small
    assert [each.number for each in selectors.versions_of(dataset)] == [2]


def test_files_that_another_persons_set_holds_stay(version, mallory):
    hers = make_version(mallory)
    assert hers.rows_sha256 == version.rows_sha256
    assert erasure_of(version.dataset).files == 0 and erasure_of(version.dataset).shared_files == 1
    dataset_services.delete_dataset(dataset=version.dataset)
    assert is_stored(hers.rows_sha256)


def test_the_erasure_says_what_it_touches(version, adapter, alice):
    dataset_services.review_row(version=version, reviewer=alice, number=1, verdict="star")
    found = erasure_of(version.dataset)
    assert (found.rows, found.files, found.reviews, found.gold_stars) == (10, 1, 1, 1)
    assert [each.name for each in found.jobs] == ["Letters"] and len(found.adapters) == 1
    assert not found.at_work


def test_a_deleted_user_takes_the_stored_files_along(version, adapter, alice, mallory):
    hers = make_version(mallory, name="Hers", rows=3)
    alice.delete()
    assert not DatasetVersion.objects.filter(pk=version.pk).exists() and not Adapter.objects.exists()
    assert not is_stored(version.rows_sha256) and not is_stored(adapter.directory_sha256)
    assert is_stored(hers.rows_sha256)


def test_with_the_last_that_learned_from_it_the_mark_goes_too(version, adapter):
    dataset_services.delete_dataset(dataset=version.dataset)
    assert DatasetVersion.objects.count() == 1
    services.delete_job(job=adapter.job)
    assert not DatasetVersion.objects.exists() and not Dataset.objects.exists()
