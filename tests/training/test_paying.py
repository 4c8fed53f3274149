"""What trainings cost is held before they wait, written down with each attempt, and stops them where money ends."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import Notice
from ledger.models import Counter, Reservation, UsageLine
from ledger.services import set_budget
from training import chains, leases, paying, services, sweeping
from training.models import Attempt, Device, JobEvent, Status, TrainingJob

pytestmark = pytest.mark.django_db
ESTIMATE = {"cost": {"on_demand": 3.4}, "seconds": 3600.0}


@pytest.fixture
def start(alice, version, base_model, sent):
    def start_job(**more) -> TrainingJob:
        asked = {"name": "Coach", "estimate": ESTIMATE, **more}
        return services.start_job(owner=alice, dataset_version=version, base_model=base_model, **asked)

    return start_job


@pytest.fixture
def priced(device):
    Device.objects.update(price_per_hour=Decimal("3.6"), name="H100")
    return device


def claimed(job, seconds: float) -> Attempt:
    """An attempt that has run for so long."""
    attempt = leases.claim(str(job.pk), worker="w", queues=["cpu"])
    attempt.started_at = timezone.now() - timedelta(seconds=seconds)
    Attempt.objects.filter(pk=attempt.pk).update(started_at=attempt.started_at)
    return attempt


def dollars() -> tuple[float, float]:
    counter = Counter.objects.get()
    return round(counter.spent / 1e9, 2), round(counter.reserved / 1e9, 2)


def test_a_start_holds_what_it_is_expected_to_cost_and_a_stop_gives_it_back(start, alice):
    set_budget(owner=alice, limit=5)
    job = start()
    assert dollars() == (0, 3.4)
    with pytest.raises(services.NotEnoughLeft) as refused:
        start(name="Another")
    assert str(refused.value).startswith(
        "You have $1.60 of $5.00 left this month; this could cost up to $3.40. $3.40 is held for what runs just now."
    )
    assert TrainingJob.objects.count() == 1
    services.cancel_job(job=job)
    assert dollars() == (0, 0) and not Reservation.objects.exists()


def test_without_a_budget_a_start_holds_nothing_and_its_time_is_written_down(start, priced):
    job = start()
    assert not Reservation.objects.exists()
    attempt = claimed(job, seconds=1800)
    leases.finish(attempt, Status.SUCCEEDED, message="done")
    line = UsageLine.objects.get()
    assert (line.kind, line.activity, line.model, line.job_id, line.outcome) == (
        "gpu_seconds", "training", "tiny", job.pk, "ok",
    )  # fmt: skip
    assert line.gpu_ms == pytest.approx(1_800_000, abs=5000)
    assert float(line.money) == pytest.approx(1.8, abs=0.01)
    assert line.hour_price == 3_600_000_000 and line.price_source == "price of the device H100"


def test_each_attempt_draws_on_what_is_held_and_the_end_gives_back_the_rest(start, alice, priced):
    set_budget(owner=alice, limit=5)
    job = start()
    first = claimed(job, seconds=1000)
    leases.give_back(first, why="The worker fell silent.", reason="worker_lost")
    assert dollars() == (1.0, 2.4)
    leases.finish(claimed(job, seconds=500), Status.FAILED, reason="bad_data", message="no")
    assert dollars() == (1.5, 0) and not Reservation.objects.exists()
    assert list(UsageLine.objects.values_list("outcome", flat=True).order_by("pk")) == ["ok", "failed"]


def test_one_that_takes_longer_than_expected_holds_more_and_pauses_where_there_is_none(start, alice, priced):
    set_budget(owner=alice, limit=5)
    job = start()
    attempt = claimed(job, seconds=4000)  # $4.00, and two minutes ahead $0.12
    sweeping.keep_order()
    assert dollars() == (0, 4.12)
    Attempt.objects.filter(pk=attempt.pk).update(started_at=timezone.now() - timedelta(seconds=4950))
    sweeping.keep_order()
    job.refresh_from_db()
    assert job.status == Status.PAUSING
    assert "Its budget has come to an end" in JobEvent.objects.filter(job=job).last().message
    assert (
        Notice.objects.filter(
            text__contains="pauses, because its budget has come to an end. You have"
        ).count()
        == 1
    )


def test_a_budget_that_is_set_while_it_runs_holds_for_it_too(start, alice, priced):
    job = start()
    claimed(job, seconds=1000)
    set_budget(owner=alice, limit=10)
    sweeping.keep_order()
    assert dollars() == (0, 1.12)


def test_what_is_held_for_one_that_waits_does_not_expire(start, alice):
    set_budget(owner=alice, limit=5)
    job = start()
    Reservation.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    sweeping.keep_order()
    assert Reservation.objects.get().expires_at > timezone.now()
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.CANCELLED)
    Reservation.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    sweeping.keep_order()
    assert Reservation.objects.get().expires_at < timezone.now()


def test_a_budget_of_device_time_counts_all_devices(start, alice):
    set_budget(owner=alice, limit=7000, measure="gpu_seconds")
    with pytest.raises(services.NotEnoughLeft, match="this could cost up to 2.0 h of device time"):
        start(device_count=2)
    start()


def test_by_api_it_is_402(alice, version, base_model, sent, alice_client, monkeypatch):
    monkeypatch.setattr("training.api.views.estimate_of", lambda *a: ESTIMATE)
    set_budget(owner=alice, limit=1)
    body = {"name": "x", "dataset": str(version.dataset_id), "base_model": "tiny"}
    answer = alice_client.post("/api/v1/training/jobs/", body, content_type="application/json")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (402, "budget_spent")
    assert error["message"].startswith(
        "You have $1.00 of $1.00 left this month; this could cost up to $3.40."
    )


def test_who_cannot_pay_for_a_training_is_told_by_the_bell_with_the_arithmetic(start, alice):
    set_budget(owner=alice, limit=1)
    for _ in range(2):
        with pytest.raises(services.NotEnoughLeft):
            start()
    texts = list(Notice.objects.values_list("text", flat=True))
    assert len(texts) == 2 and not TrainingJob.objects.exists()
    assert (
        "was not started. You have $1.00 of $1.00 left this month; this could cost up to $3.40." in texts[0]
    )


def test_a_chain_that_cannot_be_paid_is_not_begun(alice, version, base_model, nudged, monkeypatch):
    monkeypatch.setattr("training.telling.estimate_job", lambda *a, **k: ESTIMATE)
    set_budget(owner=alice, limit=1)
    with pytest.raises(services.NotEnoughLeft):
        chains.start_chain(
            owner=alice, name="x", base_model=base_model, stages=[chains.StageWish("sft", version)]
        )
    assert not TrainingJob.objects.exists()
    assert "was not started. You have $1.00 of $1.00 left" in Notice.objects.get().text


def test_the_expected_cost_of_a_drill_is_nothing(job):
    assert not paying.expected(job)
