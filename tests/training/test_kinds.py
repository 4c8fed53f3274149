"""Examples that compare or mark answers are no food for imitation: every door says so."""

import re

import pytest
from django.urls import reverse

from datasets_app import services as dataset_services
from training import kinds, services
from training.estimating import Asked
from training.models import Plan, TrainingJob

pytestmark = pytest.mark.django_db

PREFERENCE = '{"prompt": "Q?", "chosen": "good", "rejected": "bad"}'
UNPAIRED = '{"prompt": "Q?", "completion": "good", "label": true}'
TEXT = '{"text": "The sun rises."}'


@pytest.fixture(params=[(PREFERENCE, "compares answers"), (UNPAIRED, "marks answers")])
def other(request, alice):
    text, words = request.param
    return dataset_services.create_dataset(owner=alice, name="Ratings", text=text), words


@pytest.fixture
def plan(alice, base_model):
    return Plan.objects.create(owner=alice, name="Coach", base_model=base_model)


def test_the_service_refuses_them(alice, base_model, other):
    version, words = other
    with pytest.raises(services.StartRefused, match=f"Ratings {words}.*set of conversations") as refused:
        services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model)
    assert refused.value.field == "dataset"
    assert not TrainingJob.objects.exists()


def test_the_api_refuses_them(alice_client, base_model, other):
    _, words = other
    asked = {"name": "x", "dataset": "Ratings", "base_model": base_model.name}
    answer = alice_client.post("/api/v1/training/jobs/", asked, content_type="application/json")
    assert answer.status_code == 400
    assert words in answer.content.decode()


def test_the_wizard_does_not_take_them(alice_client, plan, other):
    version, words = other
    address = reverse("training:plan-examples", args=[plan.pk])
    answer = alice_client.post(address, {"source": "mine", "dataset": version.dataset_id})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    plan.refresh_from_db()
    assert plan.dataset_version is None


def test_the_wizard_does_not_take_them_from_a_text_either(alice_client, plan):
    answer = alice_client.post(
        reverse("training:plan-examples", args=[plan.pk]),
        {"source": "typed", "name": "Mine", "text": PREFERENCE},
    )
    assert answer.status_code == 422
    assert "compares answers" in answer.content.decode()


def test_the_wizard_offers_only_what_can_be_learned(alice_client, plan, other, version):
    text = alice_client.get(reverse("training:plan-examples", args=[plan.pk]) + "?from=mine").content.decode()
    assert "Letters" in text and "Ratings" not in text


def test_teaching_from_the_page_of_such_a_set_says_why_not(alice_client, other):
    version, words = other
    answer = alice_client.post(
        reverse("training:teach") + f"?dataset={version.dataset_id}",
        {"name": "Coach", "purpose": "style"},
        follow=True,
    )
    assert words in answer.content.decode()
    assert Plan.objects.get().dataset_version is None


def test_a_plan_that_has_them_already_cannot_start(alice_client, plan, other):
    version, words = other
    Plan.objects.filter(pk=plan.pk).update(dataset_version=version)
    review = alice_client.get(reverse("training:plan-review", args=[plan.pk]))
    assert words in review.content.decode()
    alice_client.post(reverse("training:plan-review", args=[plan.pk]), {"start": "1"})
    assert not TrainingJob.objects.exists()


def test_plain_texts_are_taken(alice_client, plan):
    answer = alice_client.post(
        reverse("training:plan-examples", args=[plan.pk]), {"source": "typed", "name": "Mine", "text": TEXT}
    )
    assert answer.status_code == 302
    plan.refresh_from_db()
    assert plan.dataset_version.kind == "text"


@pytest.mark.parametrize(
    ("method", "text", "words"),
    [
        ("dpo", TEXT, "holds plain texts.*SFT.*a set that compares answers"),
        ("dpo", UNPAIRED, "KTO.*a set that compares answers"),
        ("orpo", UNPAIRED, "KTO.*a set that compares answers"),
        ("kto", PREFERENCE, "DPO or ORPO.*a set that marks answers"),
        ("kto", "Q: What?\nA: That.\n", "holds conversations.*SFT.*a set that marks answers"),
    ],
)
def test_every_way_of_learning_names_what_it_learns_from(alice, method, text, words):
    version = dataset_services.create_dataset(owner=alice, name="Ratings", text=text)
    assert re.search(words, kinds.refusal_of(version, method))


@pytest.mark.parametrize(("method", "text"), [("dpo", PREFERENCE), ("orpo", PREFERENCE), ("kto", UNPAIRED)])
def test_what_fits_is_taken(alice, method, text):
    assert not kinds.refusal_of(
        dataset_services.create_dataset(owner=alice, name="Ratings", text=text), method
    )


def test_a_base_model_is_not_split_where_answers_are_compared(alice, base_model):
    version = dataset_services.create_dataset(owner=alice, name="Ratings", text=PREFERENCE)
    asked = {"method": "dpo", "config": {"spread": "fsdp"}}
    for start in (
        lambda: services.start_job(
            owner=alice, name="x", dataset_version=version, base_model=base_model, device_count=2, **asked
        ),
        lambda: Asked(version, base_model, asked["config"], method="dpo", devices=2),
    ):
        with pytest.raises(services.StartRefused, match="spread is fsdp.*take ddp") as refused:
            start()
        assert refused.value.field == "spread"
    assert not TrainingJob.objects.exists()
