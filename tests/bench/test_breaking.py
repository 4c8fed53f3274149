"""The drill's own parts: what is drawn is drawn again by the same seed, and every kind of harm is found."""

import copy

import pytest

from bench.breaking.faults import FOR_LORA, KINDS, fill, kinds_here
from bench.breaking.schedule import DRILLS, LOADING, Task, draw, twins
from bench.breaking.verdict import judge

ALL = kinds_here(can_fill=True, can_set_clocks=True, is_postgres=True)


def drawn(faults: int, seed: int) -> list[Task]:
    return draw(faults, seed, ALL, loras=5, for_lora=FOR_LORA)


def test_the_same_seed_draws_the_same_faults_and_another_others():
    assert list(map(str, drawn(100, 7))) == list(map(str, drawn(100, 7)))
    assert list(map(str, drawn(100, 7))) != list(map(str, drawn(100, 8)))


def test_every_kind_is_there_and_so_many_as_were_asked_for():
    faults = [fault for task in drawn(50, 3) for fault in task.faults]
    assert len(faults) == 50
    assert {fault.kind for fault in faults} == set(KINDS)
    assert sorted(fault.number for fault in faults) == list(range(1, 51))


def test_places_are_uniform_over_a_life_and_in_order():
    tasks = [task for task in drawn(2000, 1) if task.method == "drill"]
    places = [fault.place for task in tasks for fault in task.faults]
    for tenth in range(10):
        share = sum(tenth / 10 <= place < (tenth + 1) / 10 for place in places) / len(places)
        assert 0.07 < share < 0.13
    assert all([f.place for f in t.faults] == sorted(f.place for f in t.faults) for t in tasks)


def test_each_real_training_is_interrupted_once_after_its_loading():
    loras = [task for task in drawn(200, 4) if task.method == "sft"]
    assert len(loras) == 5
    for task in loras:
        (fault,) = task.faults
        assert KINDS[fault.kind].interrupts
        assert fault.place >= LOADING


def test_what_cannot_be_done_here_is_not_drawn():
    weights = kinds_here(can_fill=False, can_set_clocks=False, is_postgres=False)
    assert set(KINDS) - set(weights) == {"disk full", "clock off by an hour", "database connections cut"}


def test_filling_leaves_not_a_byte(tmp_path, monkeypatch):
    room = [3 << 20]

    class Disk:
        def __enter__(self):
            return self

        def __exit__(self, *_error):
            pass

        def write(self, data):
            if len(data) > room[0]:
                raise OSError(28, "No space left on device")
            room[0] -= len(data)
            return len(data)

    monkeypatch.setattr("builtins.open", lambda *_a, **_k: Disk())
    room[0] += 4097
    fill(tmp_path / "ballast")
    assert room[0] == 0


# --- The verdict ---


@pytest.fixture
def written():
    """A twin and one that was interrupted once and ended like it."""

    def job(name: str, first_event: int, *starts: int) -> dict:
        events = []
        for token, _step in enumerate(starts, start=1):
            data = {"token": token, "devices": ["north.cpu"]}
            events.append({"id": first_event + 2 * token, "kind": "job.started", "data": data})
            kind = "job.succeeded" if token == len(starts) else "job.requeued"
            events.append({"id": first_event + 2 * token + 1, "kind": kind, "data": {}})
        return {
            "name": name,
            "status": "succeeded",
            "reason": "",
            "message": "",
            "steps": [[step, 1.0 / step, 0.5, 0.01, None] for step in range(1, 11)],
            "adapters": ["a" * 64],
            "attempts": [
                {"token": token, "resumed_step": step, "last_step": 10 if token == len(starts) else 7,
                 "has_ended": True}
                for token, step in enumerate(starts, start=1)
            ],
            "events": events,
        }  # fmt: skip

    return [job("twin of drill small", 0, 0), job("training 1", 100, 0, 5)]


def verdict_of(written):
    task = Task("training 1", "drill small")
    return judge([*twins([task]), task], written)


def test_one_that_ended_like_its_twin_is_good(written):
    verdict = verdict_of(written)
    assert verdict.is_good
    assert (verdict.trainings, verdict.attempts, verdict.resumes, verdict.later_resumes) == (2, 3, 1, 1)
    assert verdict.most_steps_again == 2


def set_status(job):
    job["status"] = "crashed"


def take_adapter(job):
    job["adapters"] = []


@pytest.mark.parametrize("harm", [set_status, take_adapter])
def test_one_that_did_not_end_well_is_lost(written, harm):
    harm(written[1])
    assert len(verdict_of(written).lost) == 1


def test_one_that_is_not_there_is_lost(written):
    assert verdict_of(written[:1]).lost == ["training 1: there is no such job"]


def repeat_step(job):
    job["steps"].insert(3, job["steps"][3])


def lose_step(job):
    del job["steps"][3]


def add_adapter(job):
    job["adapters"].append(job["adapters"][0])


def end_twice(job):
    job["events"].append({"id": 999, "kind": "job.crashed", "data": {}})


def reuse_token(job):
    for event in job["events"]:
        event["data"].update({"token": 1})


def leave_open(job):
    job["attempts"][0]["has_ended"] = False


@pytest.mark.parametrize("harm", [repeat_step, lose_step, add_adapter, end_twice, reuse_token, leave_open])
def test_what_is_there_twice_or_out_of_order_is_doubled(written, harm):
    harm(written[1])
    assert verdict_of(written).doubled


def test_a_device_that_two_had_at_once_is_doubled(written):
    other = copy.deepcopy(written[1])
    other["name"] = "training 2"
    for event in other["events"]:
        event["id"] += 1  # each begins before the other has let go
    other["events"][0]["id"] = written[1]["events"][0]["id"] + 0.5
    assert any("north.cpu" in words for words in verdict_of([*written, other]).doubled)


@pytest.mark.parametrize("column", range(1, 4))
def test_one_bit_of_a_curve_is_seen(written, column):
    written[1]["steps"][-1][column] *= 1 + 2**-52
    assert len(verdict_of(written).unequal) == 1


def test_other_weights_are_seen(written):
    written[1]["adapters"] = ["b" * 64]
    assert verdict_of(written).unequal == ["training 1: its adapter has other weights than its twin's"]


def test_a_second_job_of_one_name_is_no_retry_unless_the_disk_was_full(written):
    first = copy.deepcopy(written[1])
    first.update(status="failed", reason="unexpected", adapters=[], events=[])
    assert verdict_of([written[0], first, written[1]]).lost
    first["reason"] = "disk_full"
    assert not verdict_of([written[0], first, written[1]]).lost


def test_twins_are_few():
    assert len(twins(drawn(1000, 2))) <= len(DRILLS) + 1
