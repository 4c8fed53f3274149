"""The back office, as a superuser uses it."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.services import create_token
from tests.training.factories import make_adapter
from training.models import Priority, Status, TrainingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    return client


def addresses(**things) -> list[str]:
    """The list of every registered model, and the page of each thing given."""
    lists = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    ]
    pages = [
        reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change", args=[thing.pk])
        for thing in things.values()
    ]
    return lists + pages


def test_every_list_and_page_opens_and_none_shows_a_secret(root, alice, job, tmp_path):
    token, plain = create_token(user=alice, name="script", scopes=["read"])
    adapter = make_adapter(job, tmp_path)
    urls = addresses(job=job, adapter=adapter, version=job.dataset_version, base=job.base_model, user=alice)
    assert len(urls) > 12
    for url in [*urls, reverse("admin:index"), f"{reverse('admin:accounts_apitoken_changelist')}?q=script"]:
        answer = root.get(url, follow=True)
        text = answer.content.decode()
        assert answer.status_code == 200, url
        assert plain not in text and alice.password not in text, url
        assert token.digest not in text or "apitoken" in url, url


def test_chosen_jobs_can_be_stopped(root, job):
    url = reverse("admin:training_trainingjob_changelist")
    answer = root.post(url, {"action": "cancel", "_selected_action": [str(job.pk)]}, follow=True)
    assert "1 job was stopped" in answer.content.decode()
    assert TrainingJob.objects.get(pk=job.pk).status == Status.CANCELLED


@pytest.mark.parametrize("name", ["trainingjob", "attempt", "adapter", "node", "device", "chain"])
def test_what_makes_itself_cannot_be_added_by_hand(root, name):
    assert root.get(reverse(f"admin:training_{name}_add")).status_code == 403


def test_staff_who_may_only_look_stop_nothing_and_put_nothing_first(client, alice, job):
    url = reverse("admin:training_trainingjob_changelist")
    alice.is_staff = True
    alice.save()
    alice.user_permissions.set(Permission.objects.filter(codename="view_trainingjob"))
    client.force_login(alice)
    for action in ("cancel", "put_first", "put_in_turn"):
        client.post(url, {"action": action, "_selected_action": [str(job.pk)]})
    alice.user_permissions.add(*Permission.objects.filter(codename="change_trainingjob"))
    answer = client.post(url, {"action": "put_first", "_selected_action": [str(job.pk)]}, follow=True)
    assert "Only administrators" in answer.content.decode()
    job.refresh_from_db()
    assert (job.status, job.priority) == (Status.QUEUED, Priority.NORMAL)


def test_a_job_shows_its_attempts_and_history_and_cannot_be_edited(root, job):
    url = reverse("admin:training_trainingjob_change", args=[job.pk])
    assert "Waiting for its turn" in root.get(url).content.decode()
    root.post(url, {"name": "changed"})
    assert TrainingJob.objects.get(pk=job.pk).name == "Coach"


def test_the_admin_has_no_door_of_its_own(client, alice):
    assert client.get("/admin/login/").url.startswith("/accounts/login/")
    client.force_login(alice)
    assert client.get("/admin/").status_code in (302, 403)
