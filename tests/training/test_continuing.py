"""Other ways of learning, and trainings that go on from an adapter: asked for, refused, told to the engine."""

import json

import pytest

from apex.common import files
from base_models.models import BaseModel
from datasets_app import services as dataset_services
from tests.training.factories import make_adapter, make_version
from tests.training.test_api import JOBS, api
from training import execution, leases, services
from training.models import Adapter, TrainingJob

pytestmark = pytest.mark.django_db
PREFERENCES = "\n".join(
    json.dumps({"prompt": f"Question {n}?", "chosen": "Gladly.", "rejected": "No."}) for n in range(12)
)


@pytest.fixture
def adapter(job, tmp_path):
    """What a finished job of Alice's learned."""
    adapter = make_adapter(job, tmp_path)
    Adapter.objects.filter(pk=adapter.pk).update(
        config={"lora_r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    )
    return Adapter.objects.get(pk=adapter.pk)


@pytest.fixture
def comparisons(alice):
    return dataset_services.create_dataset(owner=alice, name="Taste", text=PREFERENCES)


@pytest.fixture
def ask(alice, comparisons, base_model, adapter):
    """Starts a DPO that goes on from the adapter, with what differs."""

    def asking(**changes) -> TrainingJob:
        asked = {
            "owner": alice, "name": "Taste", "dataset_version": comparisons, "base_model": base_model, "method": "dpo",
            "start_adapter": adapter,
        }  # fmt: skip
        return services.start_job(**asked | changes)

    return asking


def test_what_suits_the_model_comes_along_and_what_suits_learning_by_example_does_not(ask, base_model):
    base_model.recommended_config = {"learning_rate": 0.01, "epochs": 9, "batch_size": 2, "max_length": 512}
    job = ask(start_adapter=None)
    assert (job.config["learning_rate"], job.config["epochs"], job.config["beta"]) == (2e-5, 1, 0.1)
    assert (job.config["batch_size"], job.config["max_length"]) == (2, 512)


def test_the_shape_comes_from_the_adapter_that_it_goes_on_from(ask, adapter):
    job = ask(config={"beta": 0.3})
    assert job.start_adapter == adapter and job.method == "dpo"
    assert (job.config["lora_r"], job.config["lora_alpha"], job.config["target_modules"]) == (
        8,
        16,
        ["q_proj"],
    )
    assert job.config["beta"] == 0.3


def test_another_shape_is_refused_by_its_name(ask):
    with pytest.raises(
        services.StartRefused, match="lora_r is 16, but the adapter Coach has 8; leave it out"
    ) as no:
        ask(config={"lora_r": 16})
    assert no.value.field == "lora_r"
    assert ask(config={"target_modules": ["q_proj"]}).config["target_modules"] == ["q_proj"]


def test_an_adapter_of_another_base_model_is_refused(ask, base_model):
    other = BaseModel.objects.create(
        name="other", display_name="Other", source="built_in", location="/x", directory=base_model.directory,
        is_on_this_machine=True, sha256="1" * 64,
    )  # fmt: skip
    with pytest.raises(services.StartRefused, match="Coach belongs to Tiny, not to Other") as refused:
        ask(base_model=other)
    assert refused.value.field == "start_adapter"


def test_an_adapter_of_another_revision_is_refused(ask, base_model):
    base_model.revision = "def"
    with pytest.raises(services.StartRefused, match="trained on revision none of Tiny, which is now at def"):
        ask()


def test_an_adapter_that_is_gone_or_a_strangers_is_refused(ask, alice, mallory, adapter):
    with pytest.raises(services.StartRefused, match="not there any more"):
        ask(owner=mallory, dataset_version=make_version(mallory), method="sft")
    Adapter.objects.filter(pk=adapter.pk).delete()
    with pytest.raises(services.StartRefused, match="not there any more"):
        ask()


def test_a_way_of_learning_that_does_not_exist_is_refused(ask):
    with pytest.raises(
        services.StartRefused, match="no method magic; there are sft, dpo, orpo, kto"
    ) as refused:
        ask(method="magic")
    assert refused.value.field == "method"


def test_what_another_training_went_on_from_is_not_deleted_before_it(ask, adapter):
    job = ask()
    services.cancel_job(job=job)
    with pytest.raises(services.DeleteRefused, match="Taste goes on from Coach, so that stays"):
        services.delete_job(job=adapter.job)
    job.refresh_from_db()
    services.delete_job(job=job)
    services.delete_job(job=adapter.job)
    assert not TrainingJob.objects.exists()


def test_a_deleted_user_takes_both_along(ask, alice):
    ask()
    alice.delete()
    assert not TrainingJob.objects.exists() and not Adapter.objects.exists()


def test_trying_again_goes_on_from_the_same_adapter(ask, adapter):
    job = ask()
    services.cancel_job(job=job)
    again = services.retry_job(job=job)
    assert (again.method, again.start_adapter, again.config) == ("dpo", adapter, job.config)


def test_the_engine_is_told_the_method_and_the_adapter(ask, adapter, tmp_path):
    told = execution.run_description(leases.claim(str(ask().pk), "w"), tmp_path)
    assert told["method"] == told["lineage"]["method"] == "dpo"
    assert told["start_adapter_dir"] == str(files.local_directory(adapter.directory_sha256))
    assert told["lineage"]["start_adapter"] == adapter.model_id
    assert told["lineage"]["start_adapter_sha256"] == adapter.directory_sha256


def test_the_api_names_a_strangers_adapter_as_one_that_is_not_there(mallory, adapter, base_model, sent):
    make_version(mallory, name="Hers")
    asked = {"name": "x", "dataset": "Hers", "base_model": "tiny", "start_adapter": str(adapter.pk)}
    answer = api(mallory).post(JOBS, asked, format="json")
    assert (answer.status_code, answer.data["error"]["field"]) == (400, "start_adapter")


def test_the_api_takes_method_and_adapter_by_uuid_or_model_id(alice, comparisons, adapter):
    asked = {"name": "x", "dataset": "Taste", "base_model": "tiny", "method": "dpo"}
    for key in (str(adapter.pk), adapter.model_id):
        answer = api(alice).post(JOBS, asked | {"start_adapter": key, "config": {"beta": 0.2}}, format="json")
        assert answer.status_code == 201, answer.data
        assert (answer.data["method"], answer.data["start_adapter"]) == ("dpo", str(adapter.pk))
    assert api(alice).get(f"/api/v1/adapters/{adapter.pk}/").data["method"] == "sft"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"method": "kto"}, "dataset"),
        ({"method": "drill"}, "method"),
        ({"config": {"desirable_weight": 2}}, "desirable_weight"),
    ],
)  # fmt: skip
def test_the_api_names_what_does_not_go_together(alice, comparisons, base_model, change, field):
    asked = {"name": "x", "dataset": "Taste", "base_model": "tiny", "method": "dpo"} | change
    answer = api(alice).post(JOBS, asked, format="json")
    assert (answer.status_code, answer.data["error"]["field"]) == (400, field), answer.data
