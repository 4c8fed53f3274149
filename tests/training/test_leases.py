"""Who has a job and its devices, and what becomes of both when its worker falls silent. No clock is trusted."""

from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from apex.common import files
from tests.training.factories import make_device
from training import leases, services, sweeping
from training.models import Attempt, Checkpoint, Device, JobEvent, Node, Status, TrainingJob

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def at(seconds: float):
    """The clock of whoever is called meanwhile, counted from some moment."""
    return mock.patch("django.utils.timezone.now", lambda: NOW + timedelta(seconds=seconds))


def sweep_at(*moments: float) -> int:
    """Sweeps at these moments of the sweep's own clock; how many jobs were taken back in all."""
    taken = 0
    for moment in moments:
        with at(moment):
            taken += sweeping.take_back_lost_jobs()
    return taken


@pytest.fixture
def attempt(job, device):
    return leases.claim(str(job.pk), "w", ["cpu"])


def test_a_claim_takes_the_job_and_its_devices_together(job, device, attempt):
    device.refresh_from_db()
    job.refresh_from_db()
    assert device.holder == attempt and (job.status, job.queue) == (Status.RUNNING, "cpu")


def test_a_device_has_one_owner(alice, job, device, attempt, version, base_model):
    other = services.start_job(owner=alice, name="Other", dataset_version=version, base_model=base_model)
    assert leases.claim(str(other.pk), "w2", ["cpu"]) is None
    other.refresh_from_db()
    assert other.status == Status.QUEUED and Attempt.objects.count() == 1
    assert other.fence == 0


def test_of_several_devices_all_are_taken_or_none(job, attempt, alice, version, base_model):
    make_device("gpu0")
    other = services.start_job(
        owner=alice, name="Other", dataset_version=version, base_model=base_model, device_count=2
    )
    assert leases.claim(str(other.pk), "w2", ["gpu0", "cpu"]) is None
    assert Device.objects.get(queue="gpu0").holder is None


def test_an_attempt_knows_its_hardware_and_price(job):
    make_device("gpu0", name="H100", price_per_hour=2)
    make_device("gpu1", name="H100", index=1, price_per_hour=3)
    attempt = leases.claim(str(job.pk), "w", ["gpu0", "gpu1"])
    attempt.refresh_from_db()
    assert attempt.hardware == "H100" and attempt.price_per_hour == 5


def test_ending_frees_the_devices(device, attempt):
    leases.finish(attempt, Status.FAILED, message="No.")
    device.refresh_from_db()
    assert device.holder is None


def test_a_device_stays_taken_after_a_cancel_until_the_worker_lets_go(job, device, attempt):
    services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    device.refresh_from_db()
    assert device.holder == attempt
    assert sweep_at(0, 10) == 0
    leases.release(attempt, "cancelled")
    device.refresh_from_db()
    assert device.holder is None


def test_the_sweep_frees_what_a_killed_worker_held_of_a_cancelled_job(job, device, attempt):
    services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    assert sweep_at(0, 10, 20, 30) == 0
    device.refresh_from_db()
    job.refresh_from_db()
    assert device.holder is None and job.status == Status.CANCELLED


def test_a_release_that_was_cut_off_is_healed(device, attempt):
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=NOW)
    assert sweeping.free_leftover_devices() == 1
    device.refresh_from_db()
    assert device.holder is None


def test_a_job_whose_worker_fell_silent_waits_again(job, device, attempt, settings):
    assert sweep_at(0, 10) == 0
    assert sweep_at(20.1) == 1
    job.refresh_from_db()
    device.refresh_from_db()
    assert job.status == Status.QUEUED and device.holder is None
    said = JobEvent.objects.get(job=job, kind="job.requeued")
    assert "fell silent" in said.message and "begin again from the start" in said.message
    assert sweep_at(30.2, 40.3) == 0
    again = leases.claim(str(job.pk), "w2", ["cpu"])
    assert again.token == attempt.token + 1


def test_it_says_from_which_step_it_goes_on(job, attempt):
    Checkpoint.objects.create(job=job, token=1, step=120, directory_sha256="0" * 64)
    sweep_at(0, 10, 20)
    assert "go on from step 120" in JobEvent.objects.get(job=job, kind="job.requeued").message


def test_a_worker_that_beats_is_never_lost(attempt):
    for moment in range(0, 100, 10):
        leases.beat(attempt)
        assert sweep_at(moment) == 0


def test_a_worker_whose_clock_is_off_by_an_hour_keeps_its_job(attempt):
    for off in (3600, -3600):
        for moment in range(0, 60, 10):
            with at(moment + off):
                leases.beat(attempt)
            assert sweep_at(moment) == 0


def test_a_sweep_whose_clock_jumps_an_hour_takes_nothing_from_a_living_worker(attempt):
    assert sweep_at(0, 3600) == 0
    leases.beat(attempt)
    assert sweep_at(3601, 1, 2) == 0


def test_two_sweeps_with_clocks_an_hour_apart_take_nothing_from_a_living_worker(attempt):
    for moment in range(0, 100, 5):
        leases.beat(attempt)
        assert sweep_at(moment, moment + 3600) == 0


def test_a_clock_that_was_set_back_only_delays_the_sweep(attempt):
    assert sweep_at(3600, 0) == 0
    assert sweep_at(10, 20) == 1


def test_a_sweep_after_a_long_silence_of_its_own_gives_workers_a_chance(attempt):
    """The database was away for a minute, for the worker and the sweep alike."""
    assert sweep_at(0, 60) == 0
    leases.beat(attempt)
    assert sweep_at(61, 71) == 0


def test_two_sweeps_at_once_take_a_job_back_once(job, attempt):
    sweep_at(0, 10)
    assert sweep_at(20, 20) == 1
    assert JobEvent.objects.filter(job=job, kind="job.requeued").count() == 1


def test_after_several_attempts_without_progress_a_job_is_crashed(job, device, settings):
    settings.TRAINING_TRIES = 3
    for number in range(3):
        assert leases.claim(str(job.pk), "w", ["cpu"])
        sweep_at(*(number * 100 + seconds for seconds in (0, 10, 20)))
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.CRASHED, "worker_lost")
    assert "3 times" in job.message and job.advice


def test_saving_something_new_starts_the_count_anew(job, device, settings):
    settings.TRAINING_TRIES = 2
    for number in range(4):
        attempt = leases.claim(str(job.pk), "w", ["cpu"])
        Checkpoint.objects.create(job=job, token=attempt.token, step=number, directory_sha256="0" * 64)
        sweep_at(*(number * 100 + seconds for seconds in (0, 10, 20)))
    job.refresh_from_db()
    assert (job.status, job.tries_without_progress) == (Status.QUEUED, 0)


def test_a_job_that_was_to_pause_rests_when_its_worker_is_lost(job, attempt):
    assert services.pause_job(job=TrainingJob.objects.get(pk=job.pk))
    assert sweep_at(0, 10, 20) == 1
    job.refresh_from_db()
    assert job.status == Status.PAUSED


def test_a_worker_back_from_the_dead_cannot_end_a_job_that_waits_again(job, attempt):
    sweep_at(0, 10, 20)
    for act in (
        lambda: leases.hold(attempt),
        lambda: leases.look(attempt),
        lambda: leases.beat(attempt),
        lambda: leases.finish(attempt, Status.FAILED, message=""),
        lambda: leases.give_back(attempt, why="", reason="stopped"),
    ):
        with pytest.raises(leases.LeaseLost):
            act()
    job.refresh_from_db()
    assert job.status == Status.QUEUED


def test_what_a_lost_worker_stored_without_a_row_goes(
    job, attempt, settings, tmp_path, django_capture_on_commit_callbacks
):
    stored = files.put_bytes(b"half a checkpoint")
    Attempt.objects.filter(pk=attempt.pk).update(storing_sha256=stored.sha256)
    with django_capture_on_commit_callbacks(execute=True):
        sweep_at(0, 10, 20)
    with pytest.raises(FileNotFoundError):
        files.open_stored(stored.sha256)


def test_a_machine_that_falls_silent_is_offline_until_it_beats(device):
    from training import nodes

    for moment in (0, 10):
        with at(moment):
            assert sweeping.note_silent_nodes() == 0
    with at(20):
        assert sweeping.note_silent_nodes() == 1
    assert not Node.objects.get().is_online
    assert nodes.beat(device.node_id) and Node.objects.get().is_online
    with at(21):
        assert sweeping.note_silent_nodes() == 0
