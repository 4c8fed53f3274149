from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from training import pricing
from training.models import Attempt, Status

pytestmark = pytest.mark.django_db


def attempt(job, token, hours, price, devices=1, is_over=True):
    now = timezone.now()
    fields = {"worker": "w", "heartbeat_at": now, "ended_at": now if is_over else None}
    made = Attempt.objects.create(job=job, token=token, device_count=devices, price_per_hour=price, **fields)
    Attempt.objects.filter(pk=made.pk).update(started_at=now - timedelta(hours=hours))
    return made


def test_every_attempt_is_paid_for_by_its_own_devices(job):
    attempt(job, 1, hours=2, price=Decimal("2.49"))
    attempt(job, 2, hours=1, price=Decimal("8.00"), devices=2)  # of both devices together
    assert pricing.cost_so_far(job) == pytest.approx(4.98 + 8.00, abs=0.01)
    job.status = Status.SUCCEEDED
    assert pricing.cost_expected(job) == pricing.cost_so_far(job)


def test_while_it_runs_the_time_left_is_added(job):
    attempt(job, 1, hours=1, price=Decimal("3.00"), is_over=False)
    job.status, job.eta_seconds = Status.RUNNING, 7200
    assert pricing.cost_so_far(job) == pytest.approx(3.0, abs=0.01)
    assert pricing.cost_expected(job) == pytest.approx(9.0, abs=0.01)


def test_before_it_begins_the_estimate_counts(job):
    assert pricing.cost_so_far(job) == 0 and pricing.cost_expected(job) is None
    job.estimate = {"cost": {"on_demand": 12.5}}
    assert pricing.cost_expected(job) == 12.5


def test_own_machines_without_a_price_cost_nothing(job):
    attempt(job, 1, hours=5, price=None)
    assert pricing.cost_so_far(job) == 0
