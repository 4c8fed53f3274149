"""Moves between states: one conditional UPDATE decides."""

import pytest

from apex.common.states import move
from tests.training.factories import make_version
from training.models import ENDED, MOVES, Status, TrainingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(alice):
    from base_models.models import BaseModel

    base_model = BaseModel.objects.create(
        name="tiny", display_name="Tiny", source="built_in", location="/nowhere"
    )
    return TrainingJob.objects.create(
        owner=alice, name="x", dataset_version=make_version(alice), base_model=base_model, queue="cpu"
    )


@pytest.mark.parametrize("start", Status.values)
@pytest.mark.parametrize("end", Status.values)
def test_only_the_drawn_moves_are_made(job, start, end):
    TrainingJob.objects.filter(pk=job.pk).update(status=start)
    won = move(job, end, moves=MOVES)
    job.refresh_from_db()
    assert won == (end in MOVES[start])
    assert job.status == (end if won else start)


def test_of_two_copies_of_a_row_one_wins(job):
    other = TrainingJob.objects.get(pk=job.pk)
    assert move(job, Status.CANCELLED, moves=MOVES)
    assert not move(other, Status.RUNNING, moves=MOVES)


def test_a_condition_must_hold_too(job):
    assert not move(job, Status.RUNNING, moves=MOVES, where={"fence": 7})
    assert move(job, Status.RUNNING, moves=MOVES, where={"fence": 0}, fence=1)
    assert job.fence == 1


def test_what_has_ended_stays():
    assert set(ENDED) == {Status.SUCCEEDED, Status.FAILED, Status.CRASHED, Status.CANCELLED}
