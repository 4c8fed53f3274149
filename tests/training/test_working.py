"""Jobs are pulled: what a worker announces, takes, and how nudges reach it."""

import os
import platform
import subprocess
import sys
import threading

import pytest

from apex.settings.queues import device_of, node_name, training_queues
from tests.training.factories import make_device
from tests.training.test_execution import WHOLE, wait_for
from training import leases, leftovers, nodes, persisting, services, sweeping, waiting, working
from training.child import visible_devices
from training.engine import hardware
from training.models import Attempt, Device, Node, Status, TrainingJob

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start(alice, version, base_model, sent):
    def start_one(owner=alice, **changes) -> TrainingJob:
        return services.start_job(
            owner=owner, name="Coach", dataset_version=version, base_model=base_model, **changes
        )

    return start_one


def test_a_machine_announces_itself_and_the_device_of_its_worker(db):
    device = nodes.announce("cpu")
    assert (device.kind, device.queue, device.is_enabled) == ("cpu", "cpu", True)
    assert device.memory_bytes > 0 and device.node.cpus >= 1 and device.node.hostname


def test_a_named_machine_names_its_queues(settings, monkeypatch):
    card = hardware.Gpu(1, "NVIDIA H100", 80, 79)
    monkeypatch.setattr(nodes, "read_hardware", lambda: hardware.Hardware(16, 100, 90, (card,)))
    monkeypatch.setattr(nodes, "read_driver", lambda: "570.1")
    settings.NODE_NAME = "north"
    assert training_queues(2, "north") == ["north.gpu0", "north.gpu1"]
    device = nodes.announce("north.gpu1")
    assert (device.name, device.memory_bytes, device.index) == ("NVIDIA H100", 80, 1)
    assert (device.node.name, device.node.driver) == ("north", "570.1")


def test_announcing_again_keeps_what_the_house_decided(db):
    nodes.announce("cpu")
    Device.objects.update(is_enabled=False, price_per_hour=2)
    device = nodes.announce("cpu")
    assert not device.is_enabled and device.price_per_hour == 2 and Device.objects.count() == 1


def test_a_name_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("APEX_NODE", "two words")
    with pytest.raises(ValueError, match="two words"):
        node_name()


def test_queues_name_their_devices():
    assert [device_of(queue) for queue in ("gpu1", "north.gpu12", "cpu", "bench")] == [
        ("gpu", 1), ("gpu", 12), ("cpu", 0), ("cpu", 0),
    ]  # fmt: skip
    assert visible_devices(["north.gpu1", "north.gpu2"]) == "1,2" and visible_devices(["cpu"]) == ""


def test_a_worker_takes_job_after_job_until_nothing_waits(start, device, engine_says):
    engine_says(WHOLE)
    made = [start() for _ in range(3)]
    assert working.work("cpu") == 3
    assert {job.status for job in TrainingJob.objects.all()} == {Status.SUCCEEDED}
    begun = Attempt.objects.order_by("pk").values_list("job_id", flat=True)
    assert list(begun) == [job.pk for job in made]
    device.refresh_from_db()
    assert device.holder is None


def test_two_workers_and_many_nudges_run_a_job_once(start, device, engine_says):
    engine_says("time.sleep(0.3)\n" + WHOLE)
    start()
    workers = [threading.Thread(target=working.work, args=["cpu"]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert Attempt.objects.count() == 1 and TrainingJob.objects.get().status == Status.SUCCEEDED


def test_turns_go_between_people(start, device, engine_says, mallory, version):
    engine_says(WHOLE)
    for owner in (None, None, None, mallory):
        start(owner) if owner else start()
    working.work("cpu")
    owners = Attempt.objects.order_by("pk").values_list("job__owner__username", flat=True)
    assert list(owners) == ["alice", "mallory", "alice", "alice"]


def test_a_job_for_two_devices_has_both(start, engine_says):
    make_device("gpu0")
    make_device("gpu1", index=1)
    engine_says("started(); check(0, 2.0); time.sleep(600)")
    job = start(device_count=2)
    found = waiting.take_next("gpu1")
    assert found and sorted(found[1]) == ["gpu0", "gpu1"]
    assert sorted(waiting.queues_to_nudge()) == ["gpu0", "gpu1"]
    assert waiting.why()[job.pk].kind == "soon"


def test_a_nudge_wakes_the_thread_of_its_queue_and_no_other(monkeypatch):
    hand = working.Hand("cpu")
    monkeypatch.setitem(working.hands, "cpu", hand)
    assert working.nudge("cpu") and hand.nudged.is_set()
    assert not working.nudge("gpu0")


def test_a_job_is_found_without_any_nudge(start, device, engine_says, settings):
    settings.TRAINING_LOOK_SECONDS = 0.2
    engine_says(WHOLE)
    hand = working.Hand("cpu")
    hand.start()
    try:
        job = start()
        wait_for(lambda: TrainingJob.objects.get(pk=job.pk).status == Status.SUCCEEDED)
    finally:
        persisting.shutting_down.set()
        hand.nudged.set()
        hand.join(10)
        persisting.shutting_down.clear()
    assert not hand.is_alive()


def test_the_announcer_beats_and_announces_anew_what_was_forgotten(db):
    announcer = working.Announcer(["cpu"])
    announcer.turn()
    announcer.turn()
    assert Node.objects.get().beats == 1
    Node.objects.all().delete()
    announcer.turn()
    assert Device.objects.get().queue == "cpu"


def test_what_a_killed_worker_had_is_taken_back_by_the_one_in_its_place(start, device, monkeypatch):
    monkeypatch.setattr(working, "BEATS", 0)
    job = start()
    attempt = leases.claim(str(job.pk), f"{platform.node()}:{dead_process()}", ["cpu"])
    working.Announcer(["cpu"]).turn()
    job.refresh_from_db()
    device.refresh_from_db()
    attempt.refresh_from_db()
    assert job.status == Status.QUEUED and device.holder is None and attempt.outcome == "requeued"


@pytest.mark.parametrize("worker", [f"{platform.node()}:{os.getppid()}", "elsewhere:1"])
def test_what_a_living_worker_or_one_elsewhere_has_is_left_to_it(start, device, worker):
    assert leases.claim(str(start().pk), worker, ["cpu"])
    assert sweeping.left_by_dead_workers(["cpu"]) == []


def test_one_that_still_beats_is_not_taken_back(start, device):
    attempt = leases.claim(str(start().pk), f"{platform.node()}:{dead_process()}", ["cpu"])
    suspects = sweeping.left_by_dead_workers(["cpu"])
    leases.beat(attempt)
    assert suspects == [attempt] and sweeping.take_back_if_still(suspects) == 0


def test_an_engine_of_an_attempt_that_has_ended_is_ended(start, device, tmp_path):
    job = start()
    running = {}
    for token in (1, 2):
        folder = tmp_path / f"{job.pk}-{token}-abc"
        folder.mkdir()
        words = ["-c", "import time; time.sleep(60)", "training.engine", str(folder / "run.json")]
        running[token] = subprocess.Popen([sys.executable, *words])
    TrainingJob.objects.filter(pk=job.pk).update(fence=1)
    assert leases.claim(str(job.pk), "w", ["cpu"]).token == 2
    try:
        wait_for(lambda: len(leftovers.engines(tmp_path)) == 2)
        leftovers.clear_leftovers(tmp_path)
        assert running[1].wait(5) == -9 and running[2].poll() is None
        assert [folder.name for folder in tmp_path.iterdir()] == [f"{job.pk}-2-abc"]
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_begins_while_leftovers_are_cleared_is_left_alone(start, device, tmp_path, monkeypatch):
    begun = []

    def engines(work):
        found = real_engines(work)
        attempt = leases.claim(str(start().pk), "w", ["cpu"])
        begun.append(work / f"{attempt.job_id}-{attempt.token}-abc")
        begun[0].mkdir()
        return found

    real_engines = leftovers.engines
    monkeypatch.setattr(leftovers, "engines", engines)
    leftovers.clear_leftovers(tmp_path)
    assert begun[0].is_dir()
