import re

import pytest
from django.urls import reverse

from tests.training.factories import make_adapter, make_metrics
from training import services
from training.models import Plan, Status, TrainingJob

pytestmark = pytest.mark.django_db


def page(client, name, **kwargs):
    return client.get(reverse(f"training:{name}", kwargs=kwargs))


def test_the_first_visit_shows_one_door(alice_client):
    text = page(alice_client, "home").content.decode()
    assert "Teach an assistant" in text and "example data" in text


def test_home_shows_what_runs_and_the_last_result(alice_client, job, tmp_path):
    assert "Coach is learning" in page(alice_client, "home").content.decode()
    make_adapter(job, tmp_path)
    assert "Coach has learned" in page(alice_client, "home").content.decode()


def test_the_job_page_shows_a_live_curve_while_it_waits(alice_client, job):
    text = page(alice_client, "job-detail", job_id=job.pk).content.decode()
    assert f"/ws/training/jobs/{job.pk}/" in text and "data-curve" in text and "waits for its turn" in text
    triggers = re.findall(r'hx-trigger="([^"]+)"', text)
    # A throttled trigger would swallow the others of its element, the last change among them.
    assert not [trigger for trigger in triggers if "throttle" in trigger and "," in trigger]


def test_the_whole_history_is_there_after_a_reload(alice_client, job):
    make_metrics(job, [{"step": 0, "eval_loss": 3.0}, {"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.25}])
    points = page(alice_client, "job-points", job_id=job.pk).json()
    assert points["series"] == {
        "loss": {"steps": [1, 1], "values": [2.5, 2.25]},  # the first step, then differences
        "eval_loss": {"steps": [0], "values": [3.0]},
    }


def test_the_live_part_asks_for_the_whole_page_once_it_has_ended(alice_client, job):
    assert "HX-Refresh" not in page(alice_client, "job-status", job_id=job.pk).headers
    services.cancel_job(job=job)
    assert page(alice_client, "job-status", job_id=job.pk).headers["HX-Refresh"] == "true"


def test_a_failure_says_what_happened_and_offers_to_try_again(alice_client, job):
    TrainingJob.objects.filter(pk=job.pk).update(
        status=Status.FAILED, message="Line 7 is empty.", advice="Mend line 7.", log_tail="trouble"
    )
    text = page(alice_client, "job-detail", job_id=job.pk).content.decode()
    assert "Line 7 is empty." in text and "Mend line 7." in text and "Try again" in text and "trouble" in text


def test_the_finished_page_says_in_one_sentence_what_changed(alice_client, job, tmp_path):
    adapter = make_adapter(job, tmp_path)
    text = page(alice_client, "job-detail", job_id=job.pk).content.decode()
    assert "off by 2.00 before and by 1.00 after" in text and adapter.model_id in text


def test_stopping_from_the_page_stops(alice_client, job):
    answer = alice_client.post(reverse("training:job-cancel", kwargs={"job_id": job.pk}))
    assert answer.url == reverse("training:job-detail", kwargs={"job_id": job.pk})
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


def test_the_list_can_be_searched_and_filtered(alice_client, job):
    assert "Coach" in page(alice_client, "job-list").content.decode()
    assert "No training matches" in alice_client.get("/training/?q=zzz").content.decode()
    assert "No training matches" in alice_client.get("/training/?status=failed").content.decode()


def test_a_plan_is_kept_at_every_step_and_back_loses_nothing(alice_client, alice, version, base_model):
    answer = alice_client.post(reverse("training:teach"), {"name": "Coach", "purpose": "style"})
    plan = Plan.objects.get(owner=alice)
    assert answer.url == reverse("training:plan-examples", kwargs={"plan_id": plan.pk})
    alice_client.post(answer.url, {"source": "mine", "dataset": str(version.dataset_id)})
    answer = alice_client.post(
        reverse("training:plan-model", kwargs={"plan_id": plan.pk}), {"base_model": base_model.name}
    )
    plan.refresh_from_db()
    assert (plan.dataset_version, plan.base_model) == (version, base_model)
    assert 'value="Coach"' in page(alice_client, "plan-goal", plan_id=plan.pk).content.decode()


def test_a_step_without_the_one_before_leads_back(alice_client, alice):
    plan = Plan.objects.create(owner=alice, name="Coach")
    examples = reverse("training:plan-examples", kwargs={"plan_id": plan.pk})
    assert page(alice_client, "plan-review", plan_id=plan.pk).url == examples
    assert page(alice_client, "plan-model", plan_id=plan.pk).url == examples


def test_a_name_is_needed(alice_client):
    answer = alice_client.post(reverse("training:teach"), {"name": "", "purpose": "style"})
    assert answer.status_code == 422 and not Plan.objects.exists()


def test_somebody_elses_dataset_cannot_be_put_into_a_plan(mallory_client, mallory, version):
    plan = Plan.objects.create(owner=mallory, name="x")
    url = reverse("training:plan-examples", kwargs={"plan_id": plan.pk})
    assert mallory_client.post(url, {"source": "mine", "dataset": str(version.dataset_id)}).status_code == 404


def test_a_plan_can_begin_with_a_dataset_of_ones_own(alice_client, mallory_client, alice, version):
    url = f"{reverse('training:teach')}?dataset={version.dataset_id}"
    alice_client.post(url, {"name": "Coach", "purpose": "style"})
    assert Plan.objects.get(owner=alice).dataset_version == version
    assert mallory_client.get(url).status_code == 404
    assert alice_client.get(reverse("training:teach") + "?dataset=nonsense").status_code == 404
