"""Folds of the job page: settings in words, where it comes from, who worked on it."""

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.training.factories import finish, stages
from training import config_words, job_details
from training.chains import advance_chain
from training.engine.config import describe
from training.models import Attempt, JobEvent

pytestmark = pytest.mark.django_db


def detail(client, job) -> str:
    return client.get(reverse("training:job-detail", args=[job.pk])).content.decode()


def test_every_setting_is_in_one_group():
    placed = [name for _title, names in config_words.GROUPS for name in names]
    assert sorted(placed) == sorted(entry["name"] for entry in describe())


def test_settings_stand_in_groups_with_plain_words_and_what_was_changed(job):
    job.config = {**job.config, "epochs": 9, "gone": 1}
    groups = {str(group["title"]): group["rows"] for group in config_words.grouped(job)}
    changed = [row["name"] for rows in groups.values() for row in rows if row["is_changed"]]
    assert changed == ["epochs"]
    assert groups["The adapter"][0]["label"] == "Size of the adapter"
    assert groups["Others"] == [
        {"name": "gone", "label": "gone", "term": "", "value": 1, "is_changed": False}
    ]
    assert "What it may move" not in groups  # nothing of preferences in a training by example


def test_the_page_says_from_what_a_training_goes_on_and_what_goes_on_from_it(alice_client, chain, tmp_path):
    first = stages(chain)[0].job
    adapter = finish(first, tmp_path)
    advance_chain(chain.pk)
    second = stages(chain)[1].job
    text = detail(alice_client, second)
    assert adapter.model_id in text and reverse("training:chain-detail", args=[chain.pk]) in text
    assert "Pull towards the preferred answer" in text
    text = detail(alice_client, first)
    assert "What goes on from it" in text and reverse("training:job-detail", args=[second.pk]) in text


def test_attempts_say_who_had_it_from_where_to_where_and_how_it_ended(alice_client, job):
    assert "Attempts" not in detail(alice_client, job)
    now = timezone.now()
    for token, values in enumerate(
        [
            {"worker": "here:1", "last_step": 40, "outcome": "requeued", "ended_at": now},
            {"worker": "there:2", "resumed_step": 30, "last_step": 55, "hardware": "H100", "device_count": 2},
        ],
        start=1,
    ):
        Attempt.objects.create(job=job, token=token, heartbeat_at=now, **values)
    last, first = job_details.attempts(job)
    assert (first.ending, last.ending, last.seconds) == ("lost; another one went on", "at work", None)
    text = detail(alice_client, job)
    assert "from 30 to 55" in text and "H100 × 2" in text and "2 times a worker had it" in text


def test_of_a_long_history_the_newest_entries_are_shown_in_order(alice_client, job):
    JobEvent.objects.bulk_create(
        JobEvent(job=job, kind="training.log", message=f"entry {number}.") for number in range(300)
    )
    text = detail(alice_client, job)
    assert "entry 99." not in text and text.index("entry 100.") < text.index("entry 299.")


def test_an_attempt_that_never_came_back_says_so(job):
    now = timezone.now()
    Attempt.objects.create(job=job, token=1, heartbeat_at=now, outcome="lost", ended_at=now)
    assert job_details.attempts(job)[0].ending == "never came back after its training was stopped"
