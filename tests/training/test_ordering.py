"""Who is next and why the others wait: plain rows, no database."""

import pytest

from training.ordering import NEVER, Asked, Slot, in_order, next_for, reasons

GPUS = [Slot("gpu0", 1), Slot("gpu1", 1)]


def asked(job, owner="alice", place=None, **changes) -> Asked:
    return Asked(job, owner, place if place is not None else job, **changes)


def jobs(order) -> list:
    return [one.job for one in order]


def busy(slot: Slot, free_in=NEVER, holder="x") -> Slot:
    return Slot(slot.queue, slot.node, holder=holder, free_in=free_in, memory_bytes=slot.memory_bytes)


def test_first_come_first_served_for_one_person():
    assert jobs(in_order([asked(2), asked(1), asked(3)], {}, {})) == [1, 2, 3]


def test_priority_comes_before_everything():
    found = in_order([asked(1), asked(2, priority=1), asked(3, "bob", priority=-1)], {"alice": 5}, {})
    assert jobs(found) == [2, 1, 3]


def test_who_has_fewer_devices_at_work_is_next():
    assert jobs(in_order([asked(1), asked(2, "bob")], {"alice": 1}, {})) == [2, 1]


def test_turns_go_round_however_many_one_person_asks_for():
    many = [asked(place, "alice") for place in range(4)]
    assert jobs(in_order([*many, asked(10, "bob"), asked(11, "bob")], {}, {})) == [0, 10, 1, 11, 2, 3]


def test_of_equals_the_one_who_had_less_lately_is_next():
    assert jobs(in_order([asked(1), asked(2, "bob")], {}, {"alice": 3600.0})) == [2, 1]


def test_a_worker_takes_the_first_that_fits_its_device():
    slots = [Slot("gpu0", 1, memory_bytes=24), Slot("gpu1", 1, memory_bytes=80)]
    order = [asked(1, memory_bytes=40), asked(2)]
    assert next_for("gpu0", order, slots) == (order[1], ["gpu0"])
    assert next_for("gpu1", order, slots) == (order[0], ["gpu1"])


def test_a_worker_whose_device_is_taken_or_off_or_unknown_takes_nothing():
    order = [asked(1)]
    assert next_for("gpu0", order, [busy(GPUS[0])]) is None
    assert next_for("gpu0", order, [Slot("gpu0", 1, is_enabled=False)]) is None
    assert next_for("gpu0", order, []) is None


def test_a_job_for_two_devices_takes_two_of_one_machine():
    elsewhere = Slot("south.gpu0", 2)
    order = [asked(1, device_count=2)]
    one, queues = next_for("gpu1", order, [*GPUS, elsewhere])
    assert one.job == 1 and sorted(queues) == ["gpu0", "gpu1"]
    assert next_for("south.gpu0", order, [*GPUS, elsewhere]) is None


def test_a_job_for_two_devices_is_not_overtaken_on_its_machine():
    order = [asked(1, device_count=2), asked(2)]
    slots = [GPUS[0], busy(GPUS[1], free_in=600)]
    assert next_for("gpu0", order, slots) is None
    assert next_for("south.gpu0", order, [*slots, Slot("south.gpu0", 2)])[0].job == 2


def test_a_wanted_device_is_waited_for_while_others_go_on():
    order = [asked(1, wanted_queue="gpu1"), asked(2)]
    assert next_for("gpu0", order, GPUS) == (order[1], ["gpu0"])
    assert next_for("gpu1", order, GPUS) == (order[0], ["gpu1"])


def test_a_processor_runs_as_many_processes_as_it_has_cores():
    order = [asked(1, device_count=2)]
    assert next_for("cpu", order, [Slot("cpu", 1, kind="cpu", cpus=2)]) == (order[0], ["cpu"])
    assert next_for("cpu", order, [Slot("cpu", 1, kind="cpu", cpus=1)]) is None


def test_the_wait_adds_up_what_is_before_it():
    order = [asked(1, seconds=100), asked(2, seconds=50), asked(3)]
    found = reasons(order, [busy(GPUS[0], free_in=30)])
    assert [(found[job].kind, found[job].starts_in) for job in (1, 2, 3)] == [
        ("busy", 30), ("behind", 130), ("behind", 180),
    ]  # fmt: skip
    assert found[3].before == (1, 2) and found[3].after == 2


def test_a_wait_that_nobody_knows_is_not_made_up():
    found = reasons([asked(1), asked(2)], [busy(GPUS[0])])
    assert found[1].starts_in is None and found[2].starts_in is None


def test_a_free_device_means_soon():
    assert reasons([asked(1)], GPUS)[1].kind == "soon"


@pytest.mark.parametrize(
    ("changes", "slots", "kind", "most"),
    [
        ({}, [], "no_worker", 0),
        ({}, [Slot("gpu0", 1, is_online=False)], "no_worker", 0),
        ({}, [Slot("gpu0", 1, is_enabled=False)], "disabled", 0),
        ({"device_count": 4}, GPUS, "too_many", 2),
        ({"device_count": 4}, [Slot("cpu", 1, kind="cpu", cpus=2)], "too_many", 2),
        ({"memory_bytes": 90}, [Slot("gpu0", 1, memory_bytes=80)], "too_large", 80),
        ({"wanted_queue": "gpu7"}, GPUS, "no_such_device", 0),
    ],
)
def test_what_nobody_can_begin_says_why(changes, slots, kind, most):
    found = reasons([asked(1, **changes)], slots)[1]
    assert (found.kind, found.most) == (kind, most)


def test_nothing_is_overtaken_by_a_job_that_can_never_begin():
    order = [asked(1, device_count=9), asked(2)]
    assert next_for("gpu0", order, GPUS)[0].job == 2
    assert reasons(order, GPUS)[2].kind == "soon"
