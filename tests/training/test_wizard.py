"""The wizard for every way of learning: purposes, presets, what to change, and an adapter to go on from."""

import json

import pytest
from django.urls import reverse

from base_models.models import BaseModel
from datasets_app import services as dataset_services
from tests.training.factories import make_adapter
from training import places
from training.engine.hardware import Hardware
from training.models import Plan, TrainingJob

pytestmark = pytest.mark.django_db
PREFERENCE = "\n".join(
    json.dumps({"prompt": f"Q{i}?", "chosen": "Good.", "rejected": "Bad."}) for i in range(12)
)
UNPAIRED = "\n".join(
    json.dumps({"prompt": f"Q{i}?", "completion": "Good.", "label": True}) for i in range(12)
)
GIB = 1024**3


@pytest.fixture(autouse=True)
def laptop(monkeypatch):
    monkeypatch.setattr(places, "read_hardware", lambda: Hardware(2, 8 * GIB, 6 * GIB))


@pytest.fixture
def taste(alice):
    return dataset_services.create_dataset(owner=alice, name="Taste", text=PREFERENCE)


@pytest.fixture
def plan(alice, version, base_model, sent):
    return Plan.objects.create(
        owner=alice, name="Coach", purpose="style", dataset_version=version, base_model=base_model
    )


def url(name, plan):
    return reverse(f"training:plan-{name}", args=[plan.pk])


def review(client, plan, **posted):
    """The review page, or what a press of one of its buttons leads to."""
    address = url("review", plan)
    return client.post(address, with_form(client, plan) | posted) if posted else client.get(address)


def with_form(client, plan) -> dict:
    """What a browser would send: every field of the page as it is."""
    form = client.get(url("review", plan)).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else value for name, value in values.items()}


@pytest.mark.parametrize(("text", "method"), [(PREFERENCE, "dpo"), (UNPAIRED, "kto")])
def test_a_taste_is_learned_by_what_its_examples_are(alice, alice_client, base_model, sent, text, method):
    dataset = dataset_services.create_dataset(owner=alice, name="Taste", text=text).dataset
    answer = alice_client.post(reverse("training:teach"), {"name": "Coach", "purpose": "preference"})
    plan = Plan.objects.get()
    alice_client.post(answer.url, {"source": "mine", "dataset": str(dataset.pk)})
    alice_client.post(url("model", plan), {"base_model": base_model.name})
    plan.refresh_from_db()
    assert plan.method == method
    page = review(alice_client, plan).content.decode()
    assert f"({method.upper()})" in page and "It fits" in page
    answer = review(alice_client, plan, start="1")
    job = TrainingJob.objects.get()
    assert answer.url == reverse("training:job-detail", args=[job.pk])
    assert (job.method, job.plan, job.memory_bytes) == (method, plan, job.estimate["memory_bytes"])
    assert job.config["beta"] == 0.1


def test_examples_of_another_kind_offer_another_purpose(alice_client, plan, taste):
    answer = alice_client.post(url("examples", plan), {"source": "mine", "dataset": str(taste.dataset_id)})
    page = answer.content.decode()
    assert answer.status_code == 422 and "Teach a taste with these" in page
    plan.refresh_from_db()
    assert plan.dataset_version != taste
    offered = {"source": "mine", "dataset": str(taste.dataset_id), "purpose": "other"}
    assert alice_client.post(url("examples", plan), offered).status_code == 302
    plan.refresh_from_db()
    assert (plan.dataset_version, plan.purpose, plan.method) == (taste, "preference", "dpo")


def test_a_changed_purpose_keeps_the_examples_and_says_what_does_not_fit(alice_client, plan, version):
    alice_client.post(url("goal", plan), {"name": "Coach", "purpose": "preference"})
    plan.refresh_from_db()
    assert (plan.dataset_version, plan.method) == (version, "dpo")
    page = alice_client.get(url("examples", plan)).content.decode()
    assert "A taste needs two answers to compare" in page and "Teach a style with these" in page
    alice_client.post(url("goal", plan), {"name": "Coach", "purpose": "task"})
    plan.refresh_from_db()
    assert (plan.dataset_version, plan.method) == (version, "sft")


def test_only_sets_that_suit_the_purpose_are_listed(alice_client, plan, taste):
    page = alice_client.get(url("examples", plan) + "?from=mine").content.decode()
    assert "Letters" in page and "Taste" not in page
    Plan.objects.filter(pk=plan.pk).update(purpose="preference")
    page = alice_client.get(url("examples", plan) + "?from=mine").content.decode()
    assert f'name="dataset" value="{taste.dataset_id}"' in page
    assert page.count("Use it") == 1


def test_teaching_from_a_set_that_compares_begins_with_a_taste(alice_client, taste):
    page = alice_client.get(f"{reverse('training:teach')}?dataset={taste.dataset_id}")
    assert page.context["form"]["purpose"].value() == "preference"


def test_a_preset_changes_the_settings_and_keeps_what_was_changed_by_hand(alice_client, plan):
    review(alice_client, plan, seed="7", save="1")
    review(alice_client, plan, preset="best")
    plan.refresh_from_db()
    assert (plan.preset, plan.config) == ("best", {"seed": 7})
    page = review(alice_client, plan)
    assert page.context["estimate"]["config"]["lora_r"] == 32
    assert page.context["estimate"]["config"]["seed"] == 7
    assert [one["label"] for one in page.context["changed"]] == ["Seed"]
    review(alice_client, plan, start="1")
    assert TrainingJob.objects.get().config["lora_r"] == 32


def test_one_press_leads_back_to_the_preset(alice_client, plan):
    review(alice_client, plan, epochs="9", device_count="1", save="1")
    plan.refresh_from_db()
    assert plan.config == {"epochs": 9}
    review(alice_client, plan, reset="1")
    plan.refresh_from_db()
    assert plan.config == {} and plan.preset == "balanced"


def test_every_setting_of_the_method_can_be_changed(alice_client, plan, taste):
    form = review(alice_client, plan).context["form"]
    assert "beta" not in form.fields and "target_modules" in form.fields
    Plan.objects.filter(pk=plan.pk).update(method="dpo", purpose="preference", dataset_version=taste)
    review(alice_client, plan, beta="0.3", target_modules="q_proj, v_proj", eval_steps="5", save="1")
    plan.refresh_from_db()
    assert plan.config == {"beta": 0.3, "target_modules": ["q_proj", "v_proj"], "eval_steps": 5}
    review(alice_client, plan, method="orpo", save="1")
    plan.refresh_from_db()
    assert plan.method == "orpo"
    assert "(ORPO)" in review(alice_client, plan).content.decode()


def test_a_value_out_of_bounds_is_told_at_its_field(alice_client, plan):
    answer = review(alice_client, plan, lora_r="9999", save="1")
    assert answer.status_code == 422 and "lora_r" in answer.context["form"].errors
    plan.refresh_from_db()
    assert plan.config == {}


def test_too_big_is_mended_with_one_press(alice_client, plan, monkeypatch):
    monkeypatch.setattr(places, "read_hardware", lambda: Hardware(2, GIB, 833 * 1024**2))
    page = review(alice_client, plan)
    text = page.content.decode()
    assert "does not fit" in text and "Start anyway" in text
    first = page.context["suggestions"][0]
    assert first["fits"] and page.context["rentable"]["fits"]
    review(alice_client, plan, apply=first["code"])
    assert "It fits" in review(alice_client, plan).content.decode()


def test_a_suggestion_that_is_not_needed_any_more_changes_nothing(alice_client, plan):
    review(alice_client, plan, apply="nf4")
    plan.refresh_from_db()
    assert plan.config == {}


def test_the_page_shows_every_place_and_the_arithmetic(alice_client, plan):
    text = review(alice_client, plan).content.decode()
    for word in ("1 × H100", "on demand", "parameters × 4 bytes", "Together", "a guess until"):
        assert word in text, word


def test_an_adapter_of_ones_own_can_be_gone_on_from(alice_client, job, plan, taste, tmp_path):
    adapter = make_adapter(job, tmp_path)
    type(adapter).objects.filter(pk=adapter.pk).update(config=job.config)
    Plan.objects.filter(pk=plan.pk).update(
        dataset_version=taste, purpose="preference", method="dpo", base_model=None
    )
    page = alice_client.get(url("model", plan)).content.decode()
    assert f"adapter:{adapter.pk}" in page
    alice_client.post(url("model", plan), {"base_model": f"adapter:{adapter.pk}"})
    plan.refresh_from_db()
    assert (plan.start_adapter, plan.base_model) == (adapter, job.base_model)
    page = review(alice_client, plan)
    assert "goes on from what" in page.content.decode()
    assert "lora_r" not in page.context["form"].fields
    review(alice_client, plan, preset="best")
    review(alice_client, plan, start="1")
    started = TrainingJob.objects.get(plan=plan)
    assert (started.start_adapter, started.config["lora_r"]) == (adapter, job.config["lora_r"])
    # Choosing a base model again forgets it.
    other = Plan.objects.create(
        owner=plan.owner, name="x", dataset_version=taste, base_model=job.base_model, start_adapter=adapter
    )
    alice_client.post(url("model", other), {"base_model": job.base_model.name})
    other.refresh_from_db()
    assert other.start_adapter is None


def test_somebody_elses_adapter_cannot_be_chosen(mallory, mallory_client, job, tmp_path):
    adapter = make_adapter(job, tmp_path)
    plan = Plan.objects.create(owner=mallory, name="x")
    answer = mallory_client.post(url("model", plan), {"base_model": f"adapter:{adapter.pk}"})
    assert answer.status_code == 404


def test_an_adapter_of_another_revision_is_not_offered(alice_client, job, plan, tmp_path):
    adapter = make_adapter(job, tmp_path)
    BaseModel.objects.update(revision="newer")
    assert f"adapter:{adapter.pk}" not in alice_client.get(url("model", plan)).content.decode()


def test_the_call_shown_starts_the_same_training(alice, alice_client, plan):
    review(alice_client, plan, preset="quick")
    body = json.loads(review(alice_client, plan).context["api_body"])
    answer = alice_client.post("/api/v1/training/jobs/", body, content_type="application/json")
    assert answer.status_code == 201
    by_call = TrainingJob.objects.get()
    review(alice_client, plan, start="1")
    by_page = TrainingJob.objects.get(plan=plan)
    assert by_call.config == by_page.config and by_call.memory_bytes == by_page.memory_bytes


def test_what_it_costs_stands_on_the_page_of_the_job(alice_client, job):
    page = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    assert "it runs on our own machine" in page
    TrainingJob.objects.filter(pk=job.pk).update(estimate={"cost": {"on_demand": 12.5}})
    page = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    assert "about $12.50 at the end" in page


def test_a_plan_still_becomes_one_job_only(alice_client, plan):
    posted = with_form(alice_client, plan) | {"start": "1"}
    first, second = (alice_client.post(url("review", plan), posted) for _ in range(2))
    assert first.url == second.url and TrainingJob.objects.count() == 1
