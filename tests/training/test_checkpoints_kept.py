"""Checkpoints on the job page and in the API: tried, kept as adapters of their own, let go again."""

import io
import json
import zipfile
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apex.common import files
from tests.training.factories import make_adapter, make_checkpoint
from training import checkpoint_files, checkpoints, kept_checkpoints, services
from training.models import Adapter, Checkpoint, Discarded, JobEvent, Sample, Status, TrainingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def checkpoint(job, tmp_path):
    return make_checkpoint(job, tmp_path / "step-2", step=2, eval_loss=1.5)


@pytest.fixture
def api(alice):
    client = APIClient()
    client.force_login(alice)
    return client


def names_in(adapter: Adapter) -> set[str]:
    return set(zipfile.ZipFile(files.open_stored(adapter.directory_sha256)).namelist())


def test_a_checkpoint_is_kept_as_an_adapter_with_its_own_files_alone(job, checkpoint):
    adapter = kept_checkpoints.keep_checkpoint(job=job, step=2)
    assert adapter.name == "Coach, step 2" and adapter.step == 2 and adapter.eval_loss == 1.5
    assert adapter.model_id.startswith("ft:tiny:alice:coach:") and adapter.model_id.endswith(":ckpt-step-2")
    names = names_in(adapter)
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md", "apex-run.json"} < names
    assert {"tokenizer.json", "chat_template.jinja"} < names
    assert not names & {"optimizer.safetensors", "manifest.json"}
    directory = files.local_directory(adapter.directory_sha256)
    assert json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    assert json.loads((directory / "apex-run.json").read_text())["lineage"]["job"] == str(job.pk)
    assert JobEvent.objects.filter(job=job, kind="checkpoint.kept").count() == 1


def test_kept_twice_is_kept_once_also_after_it_was_pruned(job, checkpoint):
    first = kept_checkpoints.keep_checkpoint(job=job, step=2)
    checkpoint.delete()
    files.delete_stored(checkpoint.directory_sha256)
    assert kept_checkpoints.keep_checkpoint(job=job, step=2) == first
    assert Adapter.objects.count() == 1


def test_of_two_who_keep_in_the_same_moment_one_adapter_comes(job, checkpoint, monkeypatch):
    """The other one is done between our look and our write."""
    store = kept_checkpoints.store_kept

    def store_late(row):
        monkeypatch.setattr(kept_checkpoints, "store_kept", store)
        kept_checkpoints.keep_checkpoint(job=job, step=2)
        return store(row)

    monkeypatch.setattr(kept_checkpoints, "store_kept", store_late)
    adapter = kept_checkpoints.keep_checkpoint(job=job, step=2)
    assert Adapter.objects.get() == adapter


def test_what_is_stored_to_be_kept_is_noted_until_its_row_is_there(job, checkpoint, monkeypatch):
    with monkeypatch.context() as dying:
        dying.setattr(kept_checkpoints, "make_adapter", Mock(side_effect=RuntimeError("killed")))
        with pytest.raises(RuntimeError):
            kept_checkpoints.keep_checkpoint(job=job, step=2)
    noted = Discarded.objects.get()
    files.open_stored(noted.sha256).close()
    adapter = kept_checkpoints.keep_checkpoint(job=job, step=2)
    assert adapter.directory_sha256 == noted.sha256
    Discarded.objects.update(noted_at=timezone.now() - timedelta(hours=25))
    assert checkpoints.delete_discarded() == 1 and names_in(adapter)


def test_what_is_kept_and_what_is_left_at_the_end_share_their_model_id(job, checkpoint, tmp_path):
    from training.models import model_id_of

    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    assert model_id_of(job) + ":ckpt-step-2" == kept.model_id
    make_checkpoint(job, tmp_path / "step-4", step=4)
    assert kept_checkpoints.keep_checkpoint(job=job, step=4).model_id == model_id_of(job) + ":ckpt-step-4"
    assert job.adapter is None


def test_a_checkpoint_that_is_not_there_is_refused_in_words(job, checkpoint):
    with pytest.raises(checkpoint_files.CheckpointUnusable, match="no checkpoint of step 7 any more"):
        kept_checkpoints.keep_checkpoint(job=job, step=7)
    files.delete_stored(checkpoint.directory_sha256)
    with pytest.raises(checkpoint_files.CheckpointUnusable, match="no checkpoint of step 2 any more"):
        kept_checkpoints.keep_checkpoint(job=job, step=2)
    assert not Adapter.objects.exists()


def test_a_torn_checkpoint_is_refused_in_words_and_leaves_nothing(job):
    stored = files.put_bytes(b"PK torn")
    torn = Checkpoint.objects.create(job=job, token=1, step=2, directory_sha256=stored.sha256, reason="best")
    with pytest.raises(checkpoint_files.CheckpointUnusable, match="step 2 cannot be read"):
        kept_checkpoints.keep_checkpoint(job=job, step=2)
    place = files.derived_path(torn.directory_sha256, "adapter")
    assert list(place.parent.iterdir()) == []


def test_letting_go_takes_its_files_and_nothing_else(
    job, checkpoint, tmp_path, django_capture_on_commit_callbacks
):
    last = make_adapter(job, tmp_path)
    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    with django_capture_on_commit_callbacks(execute=True):
        kept_checkpoints.delete_adapter(adapter=kept)
    assert list(Adapter.objects.all()) == [last]
    with pytest.raises(FileNotFoundError):
        files.open_stored(kept.directory_sha256)
    assert files.open_stored(checkpoint.directory_sha256)


def test_what_a_job_left_at_its_end_goes_with_its_job(job, tmp_path):
    with pytest.raises(services.DeleteRefused, match="delete the training"):
        kept_checkpoints.delete_adapter(adapter=make_adapter(job, tmp_path))


def test_an_adapter_that_another_training_goes_on_from_stays(job, checkpoint, version, base_model, alice):
    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.SUCCEEDED)
    TrainingJob.objects.create(
        owner=alice, name="Finer", dataset_version=version, base_model=base_model, start_adapter=kept
    )
    with pytest.raises(services.DeleteRefused, match="Finer goes on from Coach, step 2"):
        kept_checkpoints.delete_adapter(adapter=kept)
    with pytest.raises(services.DeleteRefused, match="delete Finer first"):
        services.delete_job(job=job)
    assert Adapter.objects.filter(pk=kept.pk).exists()


def test_a_job_is_deleted_with_all_that_was_kept_of_it(
    job, checkpoint, tmp_path, django_capture_on_commit_callbacks
):
    make_adapter(job, tmp_path)
    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_job(job=job)
    assert not Adapter.objects.exists()
    with pytest.raises(FileNotFoundError):
        files.open_stored(kept.directory_sha256)


def test_the_page_offers_to_try_and_keep_while_the_job_runs(alice_client, job, checkpoint):
    page = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    assert reverse("serving:checkpoint-compare", args=[job.pk, 2]) in page
    answer = alice_client.post(reverse("training:checkpoint-keep", args=[job.pk, 2]), follow=True)
    page, kept = answer.content.decode(), Adapter.objects.get()
    assert "Coach, step 2 is kept" in page and kept.model_id in page
    assert reverse("serving:compare", args=[kept.pk]) in page and "Delete Coach, step 2?" in page
    listed = alice_client.get(reverse("training:adapter-list")).content.decode()
    assert "Coach, step 2" in listed and "kept on the way" in listed


def test_a_kept_one_is_still_listed_when_its_checkpoint_is_pruned(alice_client, job, checkpoint):
    kept_checkpoints.keep_checkpoint(job=job, step=2)
    checkpoint.delete()
    text = alice_client.get(reverse("training:checkpoint-list", args=[job.pk])).content.decode()
    assert "Step 2" in text and "kept" in text and "1.50" in text


def test_a_stopped_job_says_that_what_was_kept_is_still_there(alice_client, job, checkpoint):
    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    services.cancel_job(job=job)
    page = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    assert "What you kept of it stands below" in page and f"programs that call {kept.model_id}" in page


def test_what_somebody_tries_is_not_pruned_for_an_hour(alice_client, job, checkpoint, tmp_path, monkeypatch):
    for step in (3, 4, 5):
        make_checkpoint(job, tmp_path / f"later-{step}", step)
    alice_client.get(reverse("serving:checkpoint-compare", args=[job.pk, 2]))
    assert checkpoints.prune(job) == 1
    assert list(job.checkpoints.values_list("step", flat=True)) == [5, 4, 2]
    monkeypatch.setattr(checkpoints, "TRIAL", timedelta(0))
    assert checkpoints.prune(job) == 1 and not job.checkpoints.filter(step=2).exists()


def test_letting_go_by_the_page(alice_client, job, checkpoint):
    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    alice_client.post(reverse("training:adapter-delete", args=[kept.pk]))
    assert not Adapter.objects.exists()


def test_the_api_lists_keeps_and_lets_go(api, job, checkpoint):
    url = f"/api/v1/training/jobs/{job.pk}/checkpoints/"
    (row,) = api.get(url).data["results"]
    assert (row["step"], row["eval_loss"], row["adapter"]) == (2, 1.5, None)
    answer = api.post(f"{url}2/keep/")
    assert answer.status_code == 201 and answer.data["step"] == 2
    assert api.get(url).data["results"][0]["adapter"] == answer.data["id"]
    assert api.get("/api/v1/adapters/").data["results"][0]["step"] == 2
    download = api.get(f"/api/v1/adapters/{answer.data['id']}/download/")
    assert "coach-step-2-ckpt-step-2.zip" in download["Content-Disposition"]
    assert api.delete(f"/api/v1/adapters/{answer.data['id']}/").status_code == 204
    refused = api.post(f"{url}7/keep/")
    assert refused.status_code == 409 and "step 7" in refused.data["error"]["message"]


def test_the_api_refuses_to_delete_what_a_job_left_at_its_end(api, job, tmp_path):
    adapter = make_adapter(job, tmp_path)
    assert api.delete(f"/api/v1/adapters/{adapter.pk}/").status_code == 409


def test_answers_are_shown_by_question_latest_first(alice_client, api, job):
    for step in (0, 10):
        for position in (0, 1):
            Sample.objects.create(
                job=job, step=step, position=position, question=f"q{position}?", answer=f"a{position} at {step}",
                expected=f"e{position}",
            )  # fmt: skip
    text = alice_client.get(reverse("training:sample-list", args=[job.pk])).content.decode()
    assert text.index("a0 at 10") < text.index("e0") < text.index("a0 at 0") < text.index("a1 at 10")
    assert (
        "What it writes by now"
        in alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    )
    rows = api.get(f"/api/v1/training/jobs/{job.pk}/samples/").data["results"]
    assert [(row["step"], row["position"], row["answer"]) for row in rows][-1] == (10, 1, "a1 at 10")


def test_a_stranger_gets_nothing(mallory_client, job, checkpoint):
    kept = kept_checkpoints.keep_checkpoint(job=job, step=2)
    for name, arguments in (("checkpoint-list", [job.pk]), ("sample-list", [job.pk])):
        assert mallory_client.get(reverse(f"training:{name}", args=arguments)).status_code == 404
    for name, arguments in (("checkpoint-keep", [job.pk, 2]), ("adapter-delete", [kept.pk])):
        assert mallory_client.post(reverse(f"training:{name}", args=arguments)).status_code == 404
    assert Adapter.objects.filter(pk=kept.pk).exists()
    page = mallory_client.get(reverse("serving:checkpoint-compare", args=[job.pk, 2]))
    assert page.status_code == 404


def test_the_readme_survives_a_name_that_would_break_its_table(job, checkpoint):
    TrainingJob.objects.filter(pk=job.pk).update(name="a | b")
    kept = kept_checkpoints.keep_checkpoint(job=TrainingJob.objects.get(pk=job.pk), step=2)
    archive = zipfile.ZipFile(io.BytesIO(files.open_stored(kept.directory_sha256).read()))
    assert "| name | a \\| b |" in archive.read("README.md").decode()
    assert "loss per token (nats)" in archive.read("README.md").decode()


def test_the_readme_of_a_taste_does_not_take_its_loss_for_one_of_tokens(job, checkpoint):
    TrainingJob.objects.filter(pk=job.pk).update(method="dpo")
    kept = kept_checkpoints.keep_checkpoint(job=TrainingJob.objects.get(pk=job.pk), step=2)
    card = zipfile.ZipFile(files.open_stored(kept.directory_sha256)).read("README.md").decode()
    assert "| | loss |" in card and "- dpo" in card
