"""What a training will need, and that a chat template which refuses the examples stops it before it starts."""

import json
import shutil

import pytest
from django.urls import reverse

from apex.common import files
from base_models.models import BaseModel
from base_models.services import BUILT_IN
from datasets_app import measuring
from tests.datasets_app.test_api import client_of
from tests.training.factories import make_version
from training import estimating, services
from training.models import Plan, TrainingJob

pytestmark = pytest.mark.django_db
REFUSES = "{{ raise_exception('System role not supported') }}"


@pytest.fixture
def plan(alice, version, base_model, sent):
    return Plan.objects.create(owner=alice, name="Coach", dataset_version=version, base_model=base_model)


@pytest.fixture
def change_template(base_model, tmp_path):
    """Puts another chat template in the base model's directory, or takes it away."""

    def change(template: str | None):
        directory = tmp_path / "model"
        shutil.copytree(BUILT_IN["apex-demo"], directory)
        (directory / "chat_template.jinja").unlink()
        if template is not None:
            (directory / "chat_template.jinja").write_text(template)
        BaseModel.objects.filter(pk=base_model.pk).update(directory=str(directory))

    return change


@pytest.mark.parametrize(
    ("template", "reason"), [(None, "has no chat template"), (REFUSES, "System role not supported")]
)
def test_a_template_that_is_missing_or_refuses_the_examples_stops_the_wizard_and_the_api(
    alice, alice_client, plan, version, change_template, template, reason
):
    assert "This cannot start yet" not in alice_client.get(f"/teach/{plan.pk}/review/").content.decode()
    change_template(template)
    page = alice_client.get(f"/teach/{plan.pk}/review/").content.decode()
    assert "This cannot start yet" in page and reason in page
    assert f"/data/{version.dataset_id}/profile/?base_model=tiny" in page

    alice_client.post(reverse("training:plan-review", args=[plan.pk]), {"start": "1"})
    assert not TrainingJob.objects.exists()

    asked = {"name": "Coach", "dataset": str(version.dataset_id), "base_model": "tiny"}
    answer = client_of(alice).post(
        "/api/v1/training/jobs/", json.dumps(asked), content_type="application/json"
    )
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["field"] == "base_model" and reason in error["message"]
    assert not TrainingJob.objects.exists()


def test_the_refusal_names_the_line_and_what_to_do(alice, version, base_model, sent, change_template):
    change_template(REFUSES)
    with pytest.raises(services.StartRefused, match="line 1.*Choose another base model, or mend the example"):
        services.start_job(
            owner=alice, name="x", dataset_version=version, base_model=BaseModel.objects.get(pk=base_model.pk)
        )


def test_lengths_are_those_of_the_rows_and_any_length_is_asked_of_one_measuring(
    version, base_model, monkeypatch
):
    whole = estimating.measure_lengths(version, base_model, 2048)
    assert (len(whole.train), len(whole.held_out), whole.shortened, whole.too_long) == (8, 2, 0, 0)
    monkeypatch.setattr(measuring, "measure_row", None)  # nothing is rendered again
    cut = estimating.measure_lengths(version, base_model, min(whole.train) - 1)
    assert (cut.train, cut.held_out, cut.too_long) == ([], [], 10)


def test_of_many_rows_a_sample_is_measured_and_the_rest_taken_to_be_like_it(alice, base_model, monkeypatch):
    monkeypatch.setattr(measuring, "SAMPLE", 20)
    version = make_version(alice, rows=200, held_out=50)
    lengths = estimating.measure_lengths(version, base_model, 2048)
    assert (len(lengths.train), len(lengths.held_out)) == (150, 50)


def test_a_long_conversation_counts_as_shortened(alice, base_model):
    version = make_version(alice, rows=3, held_out=0)
    turns = [{"role": "user", "content": "Why? " * 30}, {"role": "assistant", "content": "So."}] * 4
    row = {"messages": turns, "conversation": "1", "line": 1, "split": "train"}
    version.rows_sha256 = files.put_bytes(3 * (json.dumps(row).encode() + b"\n")).sha256
    whole = estimating.measure_lengths(version, base_model, 2048)
    cut = estimating.measure_lengths(version, base_model, whole.train[0] - 1)
    assert (cut.shortened, cut.too_long, cut.train) == (3, 0, [whole.train[0] - 1] * 3)
