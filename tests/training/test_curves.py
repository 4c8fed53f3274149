"""Curves and files of a job, on its page and by API."""

import pytest
from django.urls import reverse

from tests.training.factories import make_metrics
from tests.training.test_api import JOBS, alice_api, api  # noqa: F401
from training.models import Status, TrainingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def measured(job):
    make_metrics(job, [{"step": step, "loss": 1 / (1 + step), "time": 1.7e9 + step} for step in range(3000)])
    return job


def test_a_range_and_columns_are_as_asked(alice_client, measured):
    url = reverse("training:job-points", args=[measured.pk])
    found = alice_client.get(url, {"series": "loss", "columns": 100, "first": 1000, "last": 1999}).json()
    assert (found["first"], found["last"], found["column"]) == (1000, 1999, 10)
    curve = found["series"]["loss"]
    assert curve["steps"][0] == 1000 and sum(curve["steps"]) == 1999 and len(curve["steps"]) == 200


@pytest.mark.parametrize("asked", [{"columns": 0}, {"first": -1}, {"last": "x"}, {"first": 2**40}])
def test_a_range_that_is_none_is_refused(alice_client, alice_api, measured, asked):  # noqa: F811
    assert alice_client.get(reverse("training:job-points", args=[measured.pk]), asked).status_code == 400
    answer = alice_api.get(f"{JOBS}{measured.pk}/curves/", asked)
    assert answer.status_code == 400 and answer.data["error"]["field"] == next(iter(asked))


def test_the_api_gives_the_same_curve(alice_client, alice_api, measured):  # noqa: F811
    asked = {"series": "loss", "columns": 50}
    page = alice_client.get(reverse("training:job-points", args=[measured.pk]), asked).json()
    assert alice_api.get(f"{JOBS}{measured.pk}/curves/", asked).json() == page


@pytest.mark.parametrize(
    ("kind", "begins"),
    [("csv", b"step,loss,time\r\n0,1.0,"), ("parquet", b"PAR1"), ("tensorboard", b"\x18")],
)
def test_files_come_from_the_page_and_by_api(alice_client, alice_api, measured, kind, begins):  # noqa: F811
    for answer in (
        alice_client.get(reverse("training:job-metrics-file", args=[measured.pk, kind])),
        alice_api.get(f"{JOBS}{measured.pk}/metrics/export/?format={kind}"),
    ):
        assert answer.status_code == 200 and "attachment" in answer["Content-Disposition"]
        assert b"".join(answer).startswith(begins)


def test_a_format_that_is_none_is_named(alice_client, alice_api, measured):  # noqa: F811
    assert (
        alice_client.get(reverse("training:job-metrics-file", args=[measured.pk, "xls"])).status_code == 404
    )
    answer = alice_api.get(f"{JOBS}{measured.pk}/metrics/export/?format=xls")
    assert answer.status_code == 400 and "csv, parquet, tensorboard" in answer.data["error"]["message"]


def test_a_stranger_gets_no_curve_and_no_file(mallory_client, mallory, measured):
    for url in (
        reverse("training:job-points", args=[measured.pk]),
        reverse("training:job-metrics-file", args=[measured.pk, "csv"]),
    ):
        assert mallory_client.get(url).status_code == 404
    for part in ("curves/", "metrics/export/"):
        assert api(mallory).get(f"{JOBS}{measured.pk}/{part}").status_code == 404


def test_the_log_of_a_job_at_work_is_read_again_and_only_by_its_owner(alice_client, mallory_client, measured):
    url = reverse("training:job-log", args=[measured.pk])
    TrainingJob.objects.filter(pk=measured.pk).update(status=Status.RUNNING, log_tail="step <3>")
    text = alice_client.get(url).content.decode()
    assert "step &lt;3&gt;" in text and "every 5s" in text
    TrainingJob.objects.filter(pk=measured.pk).update(status=Status.FAILED)
    assert "every 5s" not in alice_client.get(url).content.decode()
    assert mallory_client.get(url).status_code == 404
