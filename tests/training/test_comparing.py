"""Several trainings beside each other."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.training.factories import make_metrics
from tests.training.test_api import JOBS, api
from training import comparing, services
from training.models import Attempt, TrainingJob

pytestmark = pytest.mark.django_db
BEGUN = timezone.now() - timedelta(hours=3)


@pytest.fixture
def pair(alice, version, base_model, sent):
    """Two jobs that differ in one setting; the second was interrupted for an hour."""
    jobs = []
    for name, rate in (("Slow", 1e-4), ("Fast", 3e-4)):
        job = services.start_job(
            owner=alice,
            name=name,
            dataset_version=version,
            base_model=base_model,
            config={"learning_rate": rate},
        )
        TrainingJob.objects.filter(pk=job.pk).update(eval_loss=rate * 1e4, best_eval_loss=rate * 1e4)
        job.refresh_from_db()
        jobs.append(job)
    spans = {0: [(0, 100)], 1: [(0, 50), (3650, 3700)]}
    for place, job in enumerate(jobs):
        for token, (begin, end) in enumerate(spans[place], 1):
            attempt = Attempt.objects.create(
                job=job, token=token, worker="w", heartbeat_at=BEGUN,
                ended_at=BEGUN + timedelta(seconds=end), hardware="H100",
            )  # fmt: skip
            Attempt.objects.filter(pk=attempt.pk).update(started_at=BEGUN + timedelta(seconds=begin))
        late = 3600 if place else 0
        make_metrics(
            job,
            [{"step": 0, "eval_loss": 3.0, "time": BEGUN.timestamp()}]
            + [
                {"step": step, "loss": 2.0 - step / 200, "tokens": 512 * step, "grad_norm": 1.0,
                 "time": BEGUN.timestamp() + step + (late if step > 50 else 0)}
                for step in range(1, 101)
            ]
            + [{"step": 100, "eval_loss": 1.5}],
        )  # fmt: skip
    return jobs


def lines(client, jobs, **asked) -> list[dict]:
    asked = {"job": [job.pk for job in jobs], **asked}
    return client.get(reverse("training:job-compare-points"), asked).json()["lines"]


def test_each_job_has_its_loss_and_its_held_out_line_which_counts(alice_client, pair):
    found = lines(alice_client, pair)
    assert [(line["name"], line["series"], line["is_main"]) for line in found] == [
        ("Slow", "loss", False), ("Slow", "eval_loss", True), ("Fast", "loss", False), ("Fast", "eval_loss", True),
    ]  # fmt: skip
    assert (found[1]["x"], found[1]["y"]) == ([0, 100], [3.0, 1.5])


def test_by_tokens_and_by_time_the_waiting_between_attempts_is_left_out(alice_client, pair):
    assert lines(alice_client, pair, by="tokens")[1]["x"] == [0, 51200]
    by_time = lines(alice_client, pair, by="time")
    for line in by_time:
        assert line["x"][-1] == pytest.approx(100, abs=0.01)
    assert by_time[2]["x"][60] - by_time[2]["x"][40] == pytest.approx(20, abs=0.01)


def test_another_series_comes_as_plain_lines(alice_client, pair):
    found = lines(alice_client, pair, series="grad_norm")
    assert [(line["series"], line["is_main"]) for line in found] == [("grad_norm", False)] * 2
    assert lines(alice_client, pair, series="no_such") == []


def test_the_table_holds_what_differs_and_hides_what_does_not(pair):
    rows = {row.field: row for row in comparing.table(pair)}
    assert not rows["config.learning_rate"].is_same and rows["config.lora_r"].is_same
    assert rows["dataset_version"].is_same and rows["hardware"].shown == ["H100", "H100"]
    assert rows["seconds"].shown == ["0:01:40", "0:01:40"]
    assert rows["best_eval_loss"].best == 0 and rows["best_eval_loss"].values == pytest.approx([1.0, 3.0])


def test_the_page_shows_both_and_offers_the_others(alice_client, pair, job):
    text = alice_client.get(
        reverse("training:job-compare"), {"job": [job.pk for job in pair]}
    ).content.decode()
    assert "What differs" in text and "learning_rate" in text and "data-lines" in text
    assert f'value="{job.pk}"' in text
    text = alice_client.get(reverse("training:job-compare"), {"job": pair[0].pk}).content.decode()
    assert "Which ones?" in text and "data-lines" not in text


def test_the_page_needs_as_many_queries_for_many_jobs_as_for_two(
    alice_client, alice, version, base_model, pair, django_assert_max_num_queries
):
    more = [
        services.start_job(owner=alice, name=f"n{i}", dataset_version=version, base_model=base_model)
        for i in range(6)
    ]
    for jobs in (pair, pair + more):
        with django_assert_max_num_queries(12):
            alice_client.get(reverse("training:job-compare"), {"job": [job.pk for job in jobs]})


def test_the_api_says_the_same(alice, alice_client, pair):
    asked = ",".join(str(job.pk) for job in pair)
    found = api(alice).get(f"{JOBS}compare/", {"jobs": asked}).json()
    assert [job["name"] for job in found["jobs"]] == ["Slow", "Fast"]
    (rate,) = [row for row in found["rows"] if row["field"] == "config.learning_rate"]
    assert rate == {"field": "config.learning_rate", "values": [1e-4, 3e-4], "is_same": False}
    assert json.loads(json.dumps(found["chart"]["lines"])) == lines(alice_client, pair)
    for wrong in ("", "x"):
        answer = api(alice).get(f"{JOBS}compare/", {"jobs": wrong})
        assert answer.status_code == 400 and answer.data["error"]["field"] == "jobs"


def test_one_strange_job_hides_all(mallory, mallory_client, alice_client, pair):
    for client in (mallory_client, alice_client):
        for name in ("job-compare", "job-compare-points"):
            jobs = [pair[0].pk, pair[1].pk] if client is mallory_client else [pair[0].pk, "0" * 32]
            assert client.get(reverse(f"training:{name}"), {"job": jobs}).status_code == 404
    assert mallory_client.get(reverse("training:job-compare"), {"job": "x"}).status_code == 404
    answer = api(mallory).get(f"{JOBS}compare/", {"jobs": str(pair[0].pk)})
    assert answer.status_code == 404


def test_a_job_page_has_charts_of_what_it_measures(alice_client, pair, job):
    text = alice_client.get(reverse("training:job-detail", args=[pair[0].pk])).content.decode()
    assert "series=grad_norm" in text and "rewards_margin" not in text
    make_metrics(
        job, [{"step": 1, "loss": 1.0, "rewards_chosen": 0.1, "rewards_rejected": -0.1, "odd_one": 1.0}]
    )
    text = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    assert "series=rewards_chosen,rewards_rejected" in text and "series=odd_one" in text


@pytest.mark.parametrize("asked", ["series=a-b", "by=luck", "columns=-1", "columns=9e99", "columns=NaN"])
def test_an_address_that_cannot_be_is_drawn_as_if_nothing_was_asked(alice_client, pair, asked):
    answer = alice_client.get(f"{reverse('training:job-compare')}?job={pair[0].pk}&job={pair[1].pk}&{asked}")
    assert answer.status_code == 200 and asked not in answer.context["points_query"]
    assert (answer.context["chosen"]["series"], answer.context["chosen"]["by"]) == ("loss", "step")
    points = f"{reverse('training:job-compare-points')}?{answer.context['points_query']}"
    assert len(alice_client.get(points).json()["lines"]) == 4
