"""Which adapters a server holds: cases as a table, and what holds of every plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.slots import Room, Wish, most_adapters_for, plan_slots

A, B, C = Wish("a", 8, 30), Wish("b", 8, 20), Wish("c", 8, 10)


@pytest.mark.parametrize(
    ("wishes", "here", "room", "keep", "unload", "load", "rest"),
    [
        ([], [], Room(4, 64), [], [], [], []),
        ([A, B], [], Room(4, 64), [], [], ["a", "b"], []),
        ([A, B, C], ["a", "b"], Room(2, 64), ["a", "b"], [], [], ["c"]),
        # The one that was asked last comes back, the longest unused makes way.
        ([A, B, Wish("c", 8, 40)], ["a", "b"], Room(2, 64), ["a"], ["b"], ["c"], ["b"]),
        # Nobody wants it any more.
        ([A], ["a", "b"], Room(4, 64), ["a"], ["b"], [], []),
        # Of equals the one that is there stays.
        ([Wish("a", 8), Wish("b", 8)], ["b"], Room(1, 64), ["b"], [], [], ["a"]),
        # What is being checked goes before what was asked a moment ago.
        ([A, Wish("n", 8, 0, is_needed=True)], ["a"], Room(1, 64), [], ["a"], ["n"], ["a"]),
        # Registrations are used up: what is there stays, nothing comes.
        ([A, B], ["b"], Room(2, 64, loads_left=0), ["b"], [], [], ["a"]),
        ([A, B, C], [], Room(3, 64, loads_left=2), [], [], ["a", "b"], ["c"]),
        ([A], [], Room(0, 64), [], [], [], ["a"]),
    ],
)
def test_plans(wishes, here, room, keep, unload, load, rest):
    plan = plan_slots(wishes, here=here, room=room)
    assert (plan.keep, plan.unload, plan.load, plan.rest) == (keep, unload, load, rest)


def test_too_large_a_rank_is_told_apart_from_a_lack_of_room():
    plan = plan_slots([Wish("big", 128, 99), A], here=[], room=Room(1, 64))
    assert plan.too_large == ["big"] and plan.load == ["a"] and plan.rest == []


def test_other_peoples_adapters_take_up_room():
    assert plan_slots([A, B], here=["a"], room=Room(2, 64), strangers=1).rest == ["b"]


def test_a_processor_keeps_a_slot_free():
    assert most_adapters_for(slots=3, needs_free_slot=True) == 2
    assert most_adapters_for(slots=3, needs_free_slot=False) == 3
    assert most_adapters_for(slots=0, needs_free_slot=True) == 0


names = st.sampled_from([f"a{number}" for number in range(9)])
wish_lists = st.lists(
    st.builds(Wish, names, st.sampled_from([4, 16, 128]), st.integers(0, 5).map(float), st.booleans()),
    unique_by=lambda wish: wish.name,
)
rooms = st.builds(Room, st.integers(0, 6), st.just(64), st.none() | st.integers(0, 6))


@given(wish_lists, st.sets(names), rooms, st.integers(0, 3))
def test_every_plan_keeps_its_promises(wishes, here, room, strangers):
    plan = plan_slots(wishes, here=here, room=room, strangers=strangers)
    held = plan.keep + plan.load
    # Every wish is in exactly one place, and nothing that was not wished for is held.
    assert sorted(held + plan.rest + plan.too_large) == sorted(wish.name for wish in wishes)
    assert set(plan.keep) <= here and not set(plan.load) & here and set(plan.unload) == here - set(plan.keep)
    assert len(held) <= max(0, room.most_adapters - strangers)
    assert room.loads_left is None or len(plan.load) <= room.loads_left
    # Nobody waits who has been asked later than somebody who is held, unless registrations are used up.
    by_name = {wish.name: wish for wish in wishes}
    if room.loads_left is None:
        for waiting in plan.rest:
            for kept in held:
                a, b = by_name[waiting], by_name[kept]
                assert (a.is_needed, a.last_used) <= (b.is_needed, b.last_used)
    # Once it is done there is nothing left to do.
    again = plan_slots(
        wishes, here=held, room=Room(room.most_adapters, room.most_rank, 0), strangers=strangers
    )
    if room.loads_left is None:
        assert again.load == [] and again.unload == [] and sorted(again.keep) == sorted(held)
