"""Every step's numbers: packed, kept once, drawn with all extremes, read page by page."""

import math
import random
import struct

import numpy as np
import pytest

from tests.training.factories import make_metrics
from training.metrics import curves, packing, store
from training.metrics.packing import PIECE, RANGE, Columns, gather
from training.models import MetricBlock


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def test_doubles_come_back_bit_for_bit_and_unknown_numbers_as_unknown():
    rng = random.Random(7)
    odd = [-0.0, 5e-324, 1.7976931348623157e308, 0.1, math.nan, math.inf, -math.inf, None]
    values = odd + [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(500)]
    columns = gather({"step": step * 3, "loss": value} for step, value in enumerate(values))
    found = packing.unpack(packing.pack(columns))
    assert found.steps.tolist() == [step * 3 for step in range(len(values))]
    for value, kept in zip(values, found.series["loss"].tolist(), strict=True):
        if value is None or not math.isfinite(value):
            assert math.isnan(kept)
        else:
            assert bits(value) == bits(kept)


def test_series_that_are_rarely_known_take_little_room():
    dense = packing.pack(gather({"step": step, "loss": 1.0} for step in range(1000)))
    both = packing.pack(
        gather(
            {"step": step, "loss": 1.0} | ({"eval_loss": 2.0} if step % 100 == 0 else {})
            for step in range(1000)
        )
    )
    assert len(both) - len(dense) < 200
    assert packing.unpack(both).known("eval_loss")[0].tolist() == list(range(0, 1000, 100))


def test_a_later_word_replaces_its_series_and_leaves_the_others():
    events = [
        {"step": 1, "loss": 2.0, "grad_norm": 1.0},
        {"step": 1, "eval_loss": 3.0},
        {"step": 1, "loss": None},
    ]
    (row,) = gather(events).rows()
    assert row == {"step": 1, "loss": None, "grad_norm": 1.0, "eval_loss": 3.0}


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"nonsense", packing.pack(gather([{"step": 1, "loss": 1.0}]))[:-4]]
)
def test_bytes_that_are_no_block_are_called_damaged(data):
    with pytest.raises(packing.DamagedBlock):
        packing.unpack(data)


def test_the_extremes_of_each_group_are_found_with_the_first_and_last_point():
    rng = np.random.default_rng(3)
    for _ in range(50):
        steps = np.sort(rng.choice(5000, 700, replace=False))
        values = rng.choice([-1.0, 0.0, 1.0, 2.5], 700)
        kept = packing.extremes(steps // 37, values)
        assert kept[0] == 0 and kept[-1] == 699
        for group in np.unique(steps // 37):
            inside = values[steps // 37 == group]
            shown = values[kept[steps[kept] // 37 == group]]
            assert (shown.min(), shown.max()) == (inside.min(), inside.max())
        assert len(kept) <= 2 * len(np.unique(steps // 37)) + 2


pytestmark = pytest.mark.django_db


def stored(job, name="loss") -> list[tuple]:
    return [(row["step"], row.get(name)) for row in store.StoredSteps(job)]


def test_any_order_of_writes_and_writers_ends_in_each_step_once(job):
    """Batches of random length, attempts that go back, new writers: the last word about each step is what is kept."""
    rng = random.Random(11)
    expected, step, writer = {}, 0, store.MetricWriter(job.pk)
    for turn in range(160):
        if rng.random() < 0.15:
            step = rng.randrange(max(1, step))  # resumed
        if rng.random() < 0.2:
            writer = store.MetricWriter(job.pk)
        batch = [
            {"step": step + at, "loss": float(turn), "tokens": step + at}
            for at in range(rng.randrange(1, 180))
        ]
        writer.write(gather(batch))
        step += len(batch)
        expected |= {event["step"]: event["loss"] for event in batch}
    assert stored(job) == sorted(expected.items())
    blocks = list(MetricBlock.objects.filter(job=job))
    assert all(before.last_step < after.first_step for before, after in zip(blocks, blocks[1:], strict=False))
    sealed = [block.first_step for block in blocks if block.is_sealed]
    assert sealed == list(range(0, len(sealed) * RANGE, RANGE)) and len(sealed) >= 3
    assert sum(block.count for block in blocks) == len(expected)


def test_a_check_written_later_than_its_step_takes_nothing_from_it(job):
    """The check of step 10 may come in one batch with step 11, after the batch of step 10."""
    writer = store.MetricWriter(job.pk)
    writer.write(gather([{"step": 10, "loss": 0.5}]))
    writer.write(gather([{"step": 10, "eval_loss": 0.7}, {"step": 11, "loss": 0.4}]))
    assert stored(job) == [(10, 0.5), (11, 0.4)]
    assert stored(job, "eval_loss") == [(10, 0.7), (11, None)]


def test_a_range_that_a_lost_worker_left_in_pieces_is_sealed_by_the_next(job):
    store.MetricWriter(job.pk).write(gather({"step": step, "loss": 1.0} for step in range(RANGE)))
    assert MetricBlock.objects.filter(job=job, is_sealed=False).count() == RANGE // PIECE
    store.MetricWriter(job.pk).write(gather([{"step": RANGE, "loss": 2.0}]))
    assert list(MetricBlock.objects.values_list("first_step", "is_sealed")) == [(0, True), (RANGE, False)]
    assert len(stored(job)) == RANGE + 1


def test_what_was_rolled_back_is_written_again_after_forgetting(job):
    writer = store.MetricWriter(job.pk)
    writer.write(gather([{"step": 0, "eval_loss": 2.0}, {"step": 1, "loss": 1.0}]))
    writer.forget()
    MetricBlock.objects.all().delete()
    writer.write(gather([{"step": 1, "loss": 1.0}]))
    assert stored(job) == [(1, 1.0)]


@pytest.fixture
def long_job(job):
    """200,000 steps with two spikes, at the edge of a block and in the middle of one."""
    rng = np.random.default_rng(5)
    steps = np.arange(1, 200_001)
    loss = 2 + rng.normal(0, 0.1, len(steps))
    loss[4 * RANGE - 1], loss[77_777] = 50.0, -9.0
    checks = np.full(len(steps), np.nan)
    checks[::500] = loss[::500] + 1
    columns = Columns(steps, {"loss": loss, "eval_loss": checks})
    store.MetricWriter(job.pk).write(columns)
    return job, columns


@pytest.mark.parametrize(
    ("first", "last", "columns"), [(0, None, 900), (0, None, 333), (60_000, 199_000, 640)]
)
def test_a_long_curve_has_the_exact_extremes_of_every_column(long_job, first, last, columns):
    job, written = long_job
    found = store.read_curves(job, ["loss", "eval_loss"], columns, first, last)
    assert found["first"] <= first and found["last"] >= (last or 200_000)
    for name in ("loss", "eval_loss"):
        steps, values = written.between(found["first"], found["last"]).known(name)
        shown_steps, shown = found["series"][name]
        groups = np.unique(steps // found["column"])
        assert len(groups) <= columns + 1 and len(shown) <= 2 * len(groups) + 2
        for group in groups:
            inside = values[steps // found["column"] == group]
            drawn = shown[shown_steps // found["column"] == group]
            assert (drawn.min(), drawn.max()) == (inside.min(), inside.max())
        # Every point that is drawn was measured.
        assert (written.series[name][shown_steps - 1] == shown).all()


def test_zooming_in_ends_at_every_single_step(long_job):
    job, written = long_job
    found = store.read_curves(job, ["loss"], 900, 77_700, 77_800)
    steps, values = found["series"]["loss"]
    assert found["column"] == 1 and steps.tolist() == list(range(77_700, 77_801))
    assert (values == written.series["loss"][steps - 1]).all()


def test_a_curve_costs_the_same_few_queries_however_long(long_job, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        store.read_curves(long_job[0], ["loss", "eval_loss"], 900)


def test_a_curve_of_the_most_columns_and_the_longest_numbers_is_below_60_kb():
    import json

    count = 2 * curves.MOST_COLUMNS + 2
    longest = curves.as_json(np.arange(count) * 1000 + 900_000, np.full(count, -1.2345678901234567e-05))
    assert len(json.dumps(longest)) < 60_000


def test_pages_of_steps_are_those_of_the_whole_list(job):
    steps = [step for step in range(3 * RANGE) if step % 7]
    make_metrics(job, [{"step": step, "loss": step / 3} for step in steps])
    whole = store.StoredSteps(job)
    assert len(whole) == len(steps)
    for first, last in [(0, 10), (870, 890), (0, len(steps)), (len(steps) - 3, len(steps) + 9), (5, 5)]:
        assert [row["step"] for row in whole[first:last]] == steps[first:last]
    assert whole[3] == {"step": 4, "loss": 4 / 3}


def test_a_job_without_steps_has_no_curve(job):
    assert store.read_curves(job, ["loss"], 900)["series"] == {}
    assert len(store.StoredSteps(job)) == 0 and store.StoredSteps(job)[0:5] == []
    assert store.series_names(job) == []
