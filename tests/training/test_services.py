import pytest

from apex.common import files
from apex.common.models import ImmutableModel
from tests.training.factories import make_adapter, make_device, make_metrics, make_version
from training import leases, services, sweeping
from training.models import Attempt, MetricBlock, Plan, Status, TrainingJob

pytestmark = pytest.mark.django_db


def test_starting_queues_one_job_and_one_nudge(
    alice, version, base_model, device, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        job = services.start_job(owner=alice, name="Coach", dataset_version=version, base_model=base_model)
    assert job.status == Status.QUEUED and sent == ["cpu"]
    assert job.config["lora_r"] == 16 and job.config["learning_rate"] == 2e-4


def test_a_plan_becomes_one_job_however_often_it_is_started(alice, version, base_model, sent):
    plan = Plan.objects.create(owner=alice, name="Coach")
    jobs = {
        services.start_job(
            owner=alice, name="Coach", dataset_version=version, base_model=base_model, plan=plan
        ).pk
        for _ in range(3)
    }
    assert len(jobs) == 1 and TrainingJob.objects.count() == 1


def test_what_suits_the_base_model_comes_before_the_defaults_and_after_what_was_asked(
    alice, version, base_model, sent
):
    base_model.recommended_config = {"learning_rate": 0.002, "epochs": 5}
    job = services.start_job(
        owner=alice, name="x", dataset_version=version, base_model=base_model, config={"epochs": 1}
    )
    assert (job.config["learning_rate"], job.config["epochs"]) == (0.002, 1)


def test_what_suits_a_method_is_under_its_name(base_model):
    base_model.recommended_config = {
        "learning_rate": 0.002,
        "max_length": 256,
        "dpo": {"learning_rate": 3e-4},
    }
    found = {method: services.suits(base_model, method) for method in ("sft", "dpo", "kto")}
    assert found == {
        "sft": {"learning_rate": 0.002, "max_length": 256},
        "dpo": {"learning_rate": 3e-4, "max_length": 256},
        "kto": {"max_length": 256},
    }


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"learning_rate": 5}, "learning_rate", "5"),
        ({"epochs": "many"}, "epochs", "many"),
        ({"colour": 1}, "colour", "colour"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(alice, version, base_model, config, field, words):
    with pytest.raises(services.StartRefused, match=words) as refused:
        services.start_job(
            owner=alice, name="x", dataset_version=version, base_model=base_model, config=config
        )
    assert refused.value.field == field
    assert not TrainingJob.objects.exists()


def test_a_base_model_that_is_not_here_is_refused(alice, version, base_model):
    base_model.is_on_this_machine = False
    with pytest.raises(services.StartRefused, match="not on this machine"):
        services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model)


def test_a_dataset_without_examples_to_learn_from_is_refused(alice, base_model):
    version = make_version(alice, rows=2, held_out=2)
    with pytest.raises(services.StartRefused, match="no example"):
        services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model)


def test_a_waiting_job_can_be_cancelled_and_is_never_claimed_after(job):
    assert services.cancel_job(job=job)
    assert leases.claim(str(job.pk), "w") is None
    assert not services.cancel_job(job=job)


def test_only_one_of_two_claims_wins(job):
    assert leases.claim(str(job.pk), "one")
    assert leases.claim(str(job.pk), "two") is None
    assert Attempt.objects.count() == 1


def test_workers_are_told_again_by_the_sweep_while_a_job_waits(job, device, sent):
    assert sweeping.nudge_workers() == 1 and sweeping.nudge_workers() == 1
    assert sent == ["cpu", "cpu"]
    assert leases.claim(str(job.pk), "w", ["cpu"])
    assert sweeping.nudge_workers() == 0


def test_trying_again_makes_a_new_job_with_the_same_settings(job):
    services.cancel_job(job=job)
    again = services.retry_job(job=job)
    assert again.pk != job.pk and again.retry_of == job and again.config == job.config
    assert services.retry_job(job=job) == again


def test_of_two_who_try_again_in_the_same_moment_one_job_comes(job, monkeypatch):
    """The other one is done between our look and our write."""
    services.cancel_job(job=job)
    check, others = services.starting.check_unchanged, []

    def meanwhile(version):
        if not others:
            others.append(None)
            others[0] = services.retry_job(job=job)
        return check(version)

    monkeypatch.setattr(services.starting, "check_unchanged", meanwhile)
    assert services.retry_job(job=job) == others[0] and job.retries.count() == 1


def test_a_job_at_work_cannot_be_tried_again_or_deleted(job):
    with pytest.raises(services.StartRefused, match="waiting"):
        services.retry_job(job=job)
    with pytest.raises(services.DeleteRefused, match="stop it first"):
        services.delete_job(job=job)


def test_deleting_an_ended_job_takes_its_history_along(job):
    make_metrics(job, [{"step": 1, "loss": 2.0}])
    services.cancel_job(job=job)
    services.delete_job(job=job)
    assert not TrainingJob.objects.exists() and not MetricBlock.objects.exists()


def test_jobs_go_to_the_queue_with_the_fewest(alice, version, base_model, sent, settings):
    settings.TRAINING_QUEUES = ["gpu0", "gpu1"]
    queues = [
        services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model).queue
        for _ in range(4)
    ]
    assert queues == ["gpu0", "gpu1", "gpu0", "gpu1"]


def test_jobs_are_expected_on_the_devices_that_are_there(alice, version, base_model, sent):
    make_device("north.gpu0", node="north")
    make_device("north.gpu1", node="north", index=1, is_enabled=False)
    job = services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model)
    assert job.queue == "north.gpu0"


def test_versions_and_adapters_cannot_be_changed(version):
    assert isinstance(version, ImmutableModel)
    with pytest.raises(TypeError, match="immutable"):
        version.save()


def test_deleting_what_was_learned_deletes_its_files(job, tmp_path, django_capture_on_commit_callbacks):
    adapter = make_adapter(job, tmp_path)
    unpacked = files.local_directory(adapter.directory_sha256)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_job(job=job)
    assert not unpacked.exists()
    with pytest.raises(FileNotFoundError):
        files.open_stored(adapter.directory_sha256)


def test_a_drill_starts_only_where_drills_are_switched_on(alice, version, base_model, sent, settings):
    asked = {
        "owner": alice,
        "name": "x",
        "dataset_version": version,
        "base_model": base_model,
        "method": "drill",
    }
    with pytest.raises(services.StartRefused, match="There is no method drill; there are sft") as refused:
        services.start_job(**asked)
    assert refused.value.field == "method" and not TrainingJob.objects.exists()
    settings.TRAINING_DRILLS = True
    job = services.start_job(**asked, config={"steps": 5})
    assert (job.method, job.config["steps"], job.config["seed"]) == ("drill", 5, 42)
    with pytest.raises(services.StartRefused, match="no setting 'lora_r'"):
        services.start_job(**asked, config={"lora_r": 8})


def test_the_api_refuses_a_drill(alice_client, version, base_model):
    asked = {"name": "x", "dataset": str(version.dataset_id), "base_model": "tiny", "method": "drill"}
    answer = alice_client.post("/api/v1/training/jobs/", asked, content_type="application/json")
    assert answer.status_code == 400 and "drill" in answer.content.decode()
    assert not TrainingJob.objects.exists()
