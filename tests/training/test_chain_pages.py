"""Chains on pages and in the API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from tests.training.factories import LEARN, finish, make_comparisons, stages
from training import chains
from training.models import Chain, TrainingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(alice):
    client = APIClient()
    client.force_login(alice)
    return client


def page(client, name, *args):
    return client.get(reverse(f"training:{name}", args=args))


def test_without_chains_there_is_a_door(alice_client):
    text = page(alice_client, "chain-list").content.decode()
    assert "No chain has been started yet" in text and reverse("training:chain-add") in text
    assert reverse("training:chain-list") in page(alice_client, "job-list").content.decode()


def test_without_examples_or_comparisons_the_form_says_what_to_bring(alice_client, version):
    text = page(alice_client, "chain-add").content.decode()
    assert "You have no comparisons yet" in text and "You have no examples" not in text


def test_the_form_starts_a_chain_with_its_gates(alice_client, version, comparisons, base_model, nudged):
    text = page(alice_client, "chain-add").content.decode()
    assert "Letters, version 1 (10 examples)" in text and "Tastes, version 1" in text
    values = {"name": "Coach", "base_model": "tiny", "examples": version.pk, "comparisons": comparisons.pk,
              "better_by": "7.5", "prefers": ""}  # fmt: skip
    answer = alice_client.post(reverse("training:chain-add"), values)
    chain = Chain.objects.get()
    assert answer.url == reverse("training:chain-detail", args=[chain.pk])
    first, second = stages(chain)
    assert first.gate == {"kind": "eval_loss", "percent": 7.5} and second.gate == {"kind": "none"}


def test_what_is_refused_stands_at_its_field_and_what_was_typed_stays(
    alice_client, alice, version, base_model, nudged
):
    empty = make_comparisons(alice, rows=2, held_out=2)
    values = {"name": "Coach", "base_model": "tiny", "examples": version.pk, "comparisons": empty.pk,
              "better_by": "500"}  # fmt: skip
    answer = alice_client.post(reverse("training:chain-add"), values)
    assert answer.status_code == 422 and not Chain.objects.exists()
    text = answer.content.decode()
    assert 'value="Coach"' in text and "less than or equal to 99" in text


def test_somebody_elses_examples_cannot_be_chosen(
    mallory_client, mallory, version, comparisons, base_model, nudged
):
    make_comparisons(mallory)
    values = {"name": "x", "base_model": "tiny", "examples": version.pk, "comparisons": comparisons.pk}
    assert mallory_client.post(reverse("training:chain-add"), values).status_code == 422
    assert not Chain.objects.exists()


def test_the_page_shows_each_stage_with_its_gate_and_what_it_said(alice_client, chain, tmp_path):
    text = page(alice_client, "chain-detail", chain.pk).content.decode()
    assert "comes when the one before has passed" in text and "by at least 5 %" in text
    assert reverse("training:job-detail", args=[stages(chain)[0].job_id]) in text
    finish(stages(chain)[0].job, tmp_path, eval_loss=1.99)
    assert "HX-Refresh" not in page(alice_client, "chain-stages", chain.pk).headers
    chains.advance_chain(chain.pk)
    assert page(alice_client, "chain-stages", chain.pk).headers["HX-Refresh"] == "true"
    text = page(alice_client, "chain-detail", chain.pk).content.decode()
    assert "Go on anyway" in text and "0.5 % better, where at least 5 % better was asked for" in text
    alice_client.post(reverse("training:chain-go-on", args=[chain.pk]))
    assert stages(chain)[1].job.status == "queued"


def test_stopping_and_deleting_from_the_page(alice_client, chain):
    refused = alice_client.post(reverse("training:chain-delete", args=[chain.pk]), follow=True)
    assert "still under way; stop it first" in refused.content.decode()
    alice_client.post(reverse("training:chain-cancel", args=[chain.pk]))
    assert TrainingJob.objects.get().status == "cancelled"
    assert "Try this stage again" in page(alice_client, "chain-detail", chain.pk).content.decode()
    alice_client.post(reverse("training:chain-delete", args=[chain.pk]))
    assert not Chain.objects.exists() and TrainingJob.objects.exists()


def test_the_list_asks_the_database_as_often_for_many_as_for_few(
    alice_client, alice, chain, version, base_model
):
    def count():
        with CaptureQueriesContext(connection) as asked:
            page(alice_client, "chain-list")
        return len(asked)

    few = count()
    for number in range(3):
        chains.start_chain(owner=alice, name=f"C{number}", base_model=base_model,
                           stages=[chains.StageWish("sft", version)])  # fmt: skip
    assert count() == few


def test_the_api_starts_follows_stops_and_goes_on(api, version, comparisons, base_model, nudged, tmp_path):
    answer = api.post(
        "/api/v1/training/chains/",
        {
            "name": "Coach",
            "base_model": "tiny",
            "stages": [
                {"dataset": "Letters", "gate": {"kind": "eval_loss", "percent": 5}, "config": {"epochs": 1}},
                {"method": "dpo", "dataset": "Tastes"},
            ],
        },
        format="json",
    )
    assert answer.status_code == 201, answer.data
    url = f"/api/v1/training/chains/{answer.data['id']}/"
    first, second = api.get(url).data["stages"]
    assert (first["status"], first["has_passed"], first["gate"]) == ("queued", None, LEARN)
    assert (second["method"], second["job"], second["gate"]) == ("dpo", None, {"kind": "none"})
    job = TrainingJob.objects.get()
    assert job.config["epochs"] == 1
    assert api.get(f"/api/v1/training/jobs/{job.pk}/").data["chain"] == answer.data["id"]
    assert api.get("/api/v1/training/chains/").data["count"] == 1
    assert api.delete(url).status_code == 409
    assert api.post(f"{url}go-on/").status_code == 409
    assert api.post(f"{url}cancel/").data["status"] == "cancelled"
    assert api.post(f"{url}cancel/").status_code == 409
    assert api.post(f"{url}go-on/").data["status"] == "running"
    api.post(f"{url}cancel/")
    assert api.delete(url).status_code == 204


def test_the_api_names_the_field_that_is_wrong(api, version, base_model, nudged):
    asked = {"name": "x", "base_model": "tiny", "stages": [{"method": "dpo", "dataset": "Letters"}]}
    answer = api.post("/api/v1/training/chains/", asked, format="json")
    assert answer.status_code == 400 and answer.data["error"]["field"] == "stages.0.dataset"


def test_a_stranger_finds_nothing(mallory_client, chain):
    for name in ("chain-detail", "chain-stages"):
        assert page(mallory_client, name, chain.pk).status_code == 404
    for name in ("chain-cancel", "chain-go-on", "chain-delete"):
        assert mallory_client.post(reverse(f"training:{name}", args=[chain.pk])).status_code == 404
    assert "Coach" not in page(mallory_client, "chain-list").content.decode()
    assert mallory_client.get(f"/api/v1/training/chains/{chain.pk}/").status_code == 404
    chain.refresh_from_db()
    assert chain.status == "running"


def test_the_superuser_sees_all_chains(chain, client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    assert "Coach" in client.get("/admin/training/chain/").content.decode()
    assert client.get(f"/admin/training/chain/{chain.pk}/change/").status_code == 200
