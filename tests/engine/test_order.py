"""Which rows a step takes."""

from training.engine.order import RowOrder


def epoch(order, number):
    steps = order.steps_per_epoch
    return [order.rows_of(step) for step in range(number * steps + 1, (number + 1) * steps + 1)]


def test_every_epoch_sees_every_row_once_in_another_order():
    order = RowOrder(10, rows_per_step=4, seed=1)
    first, second = epoch(order, 0), epoch(order, 1)
    assert [len(rows) for rows in first] == [4, 4, 2]
    for found in (first, second):
        assert sorted(row for rows in found for row in rows) == list(range(10))
    assert first != second
    assert epoch(RowOrder(10, 4, seed=1), 0) == first and epoch(RowOrder(10, 4, seed=2), 0) != first


def test_the_rows_of_a_step_are_found_without_those_before_and_in_any_order():
    straight = RowOrder(10, rows_per_step=4, seed=1)
    expected = {step: straight.rows_of(step) for step in range(1, 31)}
    for step in (29, 3, 17, 17, 30, 1):
        assert RowOrder(10, 4, seed=1).rows_of(step) == expected[step]
        assert straight.rows_of(step) == expected[step]
