"""The queue, pausing and priorities, by page and by API."""

import pytest
from django.urls import reverse

from tests.training.factories import make_device
from tests.training.test_api import api
from training import leases, services, turns
from training.models import Checkpoint, Priority, Status, TrainingJob

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/training/jobs/"


@pytest.fixture
def start(version, base_model, sent):
    def start_one(owner, name="Coach", **changes) -> TrainingJob:
        return services.start_job(
            owner=owner, name=name, dataset_version=version, base_model=base_model, **changes
        )

    return start_one


def said(job) -> str:
    return turns.turn_of(job).words


def test_the_queue_shows_what_runs_waits_and_rests(alice_client, alice, device, start):
    assert "Nothing of yours runs or waits" in alice_client.get("/training/queue/").content.decode()
    running, waiting, resting = (start(alice, name) for name in ("Runs", "Waits", "Rests"))
    services.pause_job(job=resting)
    leases.claim(str(running.pk), "w", ["cpu"])
    text = alice_client.get("/training/queue/").content.decode()
    assert "Learning now" in text and "Place 1" in text and "Go on" in text
    assert all(name in text for name in ("Runs", "Waits", "Rests"))


def test_other_peoples_jobs_are_only_counted(mallory_client, mallory, alice, device, start):
    start(alice, "Secret")
    mine = start(mallory, "Mine")
    TrainingJob.objects.filter(pk=mine.pk).update(priority=Priority.LOW)
    running = start(alice, "Also secret")
    leases.claim(str(running.pk), "w", ["cpu"])
    text = mallory_client.get("/training/queue/").content.decode()
    assert "Secret" not in text and "secret" not in text and "alice" not in text
    assert "1 learning, 1 waiting" in text and "1 training is before it." in text
    assert "Machines" not in text


def test_superusers_see_everybodys_and_the_machines(client, django_user_model, alice, device, start):
    start(alice, "Hers")
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    text = client.get("/training/queue/").content.decode()
    assert "Hers" in text and "of alice" in text and "Machines" in text and "<code>cpu</code>" in text


def test_each_reason_is_said_in_plain_words(alice, start):
    job = start(alice)
    assert "No machine that could run it is online" in said(job)
    device = make_device("gpu0", memory=24 * 10**9)
    assert "in a moment" in said(job)
    make_device("gpu1", index=1, memory=24 * 10**9)
    assert "asks for 4 devices" in said(start(alice, device_count=4)) and "2" in said(
        start(alice, device_count=4)
    )
    assert "40.0 GB" in said(start(alice, memory_bytes=40 * 10**9))
    assert "gpu7 only" in said(start(alice, wanted_queue="gpu7"))
    device.node.devices.update(is_enabled=False)
    assert "administrator" in said(job)


def test_how_long_it_takes_is_said(alice, device, start):
    first, second, third = (start(alice, name, estimate={"seconds": 600}) for name in ("One", "Two", "Three"))
    leases.claim(str(first.pk), "w", ["cpu"])
    TrainingJob.objects.filter(pk=first.pk).update(eta_seconds=300)
    assert "It begins in about 5 min" in said(second)
    assert "its turn comes after Two. It begins in about 15 min" in said(third)


def test_the_job_page_says_why_it_waits(alice_client, alice, start):
    job = start(alice)
    assert "is online" in alice_client.get(f"/training/{job.pk}/").content.decode()


def test_pausing_and_going_on_by_page(alice_client, alice, device, start):
    job = start(alice)
    answer = alice_client.post(reverse("training:job-pause", args=[job.pk]), {"back": "queue"}, follow=True)
    assert "Coach is paused." in answer.content.decode()
    text = alice_client.get(f"/training/{job.pk}/").content.decode()
    assert "is paused" in text and "Let it go on" in text and "saved nothing yet" in text
    Checkpoint.objects.create(job=job, token=1, step=7, directory_sha256="0" * 64)
    assert "up to step 7 is saved" in alice_client.get(f"/training/{job.pk}/").content.decode()
    alice_client.post(reverse("training:job-resume", args=[job.pk]))
    job.refresh_from_db()
    assert job.status == Status.QUEUED
    leases.claim(str(job.pk), "w", ["cpu"])
    alice_client.post(reverse("training:job-pause", args=[job.pk]))
    assert "is about to pause" in alice_client.get(f"/training/{job.pk}/").content.decode()
    assert "was not paused" in alice_client.post(
        reverse("training:job-resume", args=[job.pk]), follow=True
    ).content.decode()  # fmt: skip


def test_home_lets_a_paused_training_go_on(alice_client, alice, start):
    services.pause_job(job=start(alice))
    text = alice_client.get("/").content.decode()
    assert "Coach is paused." in text and "Let it go on" in text


def test_pausing_and_going_on_by_api(alice, mallory, start):
    job, caller = start(alice), api(alice)
    assert caller.post(f"{JOBS}{job.pk}/pause/").data["status"] == "paused"
    assert caller.post(f"{JOBS}{job.pk}/pause/").status_code == 409
    assert caller.post(f"{JOBS}{job.pk}/resume/").data["status"] == "queued"
    assert caller.post(f"{JOBS}{job.pk}/resume/").status_code == 409
    for call in ("pause", "resume"):
        assert api(mallory).post(f"{JOBS}{job.pk}/{call}/").status_code == 404


def test_the_queue_by_api(alice, mallory, device, start):
    start(alice, "Hers")
    start(mallory, "Mine")
    found = api(mallory).get("/api/v1/training/queue/").data
    assert [turn["name"] for turn in found["waiting"]] == ["Mine"]
    assert (found["waiting"][0]["place"], found["waiting"][0]["reason"]) == (2, "behind")
    assert found["others_waiting"] == 1 and found["nodes"] == []


def test_owners_lower_and_raise_but_only_administrators_put_first(alice, mallory, start, django_user_model):
    job, caller = start(alice), api(alice)
    assert caller.patch(f"{JOBS}{job.pk}/", {"priority": -1}).data["priority"] == -1
    refused = caller.patch(f"{JOBS}{job.pk}/", {"priority": 1})
    assert refused.status_code == 400 and refused.data["error"]["field"] == "priority"
    assert api(mallory).patch(f"{JOBS}{job.pk}/", {"priority": 0}).status_code == 404
    with pytest.raises(services.StartRefused):
        start(alice, priority=1)
    root = django_user_model.objects.create_superuser("root", password="x")
    assert start(root, priority=1).priority == 1


def test_priority_by_page(alice_client, alice, start):
    job = start(alice)
    url = reverse("training:job-priority", args=[job.pk])
    alice_client.post(url, {"priority": "-1"})
    job.refresh_from_db()
    assert job.priority == Priority.LOW
    assert "Choose when" in alice_client.post(url, {"priority": "x"}, follow=True).content.decode()
    services.cancel_job(job=job)
    assert "has ended" in alice_client.post(url, {"priority": "0"}, follow=True).content.decode()


def test_the_queue_asks_the_database_the_same_however_long_it_is(
    alice_client, alice, device, start, django_assert_max_num_queries
):
    for _ in range(10):
        start(alice)
    with django_assert_max_num_queries(14):
        alice_client.get("/training/queue/")
