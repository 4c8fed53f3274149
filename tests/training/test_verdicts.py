import pytest
from django.urls import reverse
from django.utils import timezone

from training import verdicts
from training.models import Attempt, JobEvent, Status, TrainingJob

pytestmark = pytest.mark.django_db


def curve(*losses):
    return [[10 * index, loss] for index, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((3.0, 2.0, 1.2), "Learning fast"),
        ((3.0, 1.0, 0.99, 0.99, 0.985), "Levelling off"),
        ((3.0, 1.0, 0.8, 0.9, 1.1), "keep the best point, step 20"),
        ((1.0, 1.2, 1.5), "never better than before it learned"),
    ],
)
def test_a_curve_is_said_in_one_sentence(losses, words):
    assert words in verdicts.trend_words(curve(*losses))


def attempt(job, token, resumed_step=0):
    now = timezone.now()
    fields = {"worker": "w", "heartbeat_at": now}
    Attempt.objects.create(job=job, token=token, resumed_step=resumed_step, **fields)


def test_that_it_went_on_after_a_break_is_said(job):
    attempt(job, 1)
    assert verdicts.notes(job) == []
    attempt(job, 2, resumed_step=40)
    assert "went on once after a break, from step 40" in verdicts.notes(job)[0]
    attempt(job, 3, resumed_step=60)
    assert "2 times after a break, the last time from step 60" in verdicts.notes(job)[0]


def test_what_the_engine_said_of_early_stops_and_halved_passes_stands_on_the_page(alice_client, job):
    for number in (1, 2):
        JobEvent.objects.create(job=job, kind="training.batch_halved", message=f"Memory ran out, {number}.")
    JobEvent.objects.create(job=job, kind="training.early_stopped", message="It stopped at step 30.")
    page = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    facts = page[page.index('id="job-facts"') : page.index("<dl", page.index('id="job-facts"'))]
    assert "It stopped at step 30." in facts and "Memory ran out, 2." in facts
    assert "Memory ran out, 1." not in facts


def test_which_point_was_kept_is_said_when_it_is_not_the_last(job):
    ended = {"status": Status.SUCCEEDED, "step": 66, "best_step": 48}
    TrainingJob.objects.filter(pk=job.pk).update(**ended)
    job.refresh_from_db()
    assert verdicts.notes(job) == ["It was best at step 48 of 66, and that is what is kept."]
    job.best_step = 66
    assert verdicts.notes(job) == []
