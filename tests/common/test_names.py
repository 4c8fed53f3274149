"""Names that are free."""

import pytest

from apex.common.names import free_name


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ([], "Letters"),
        (["letters", "Letters 2"], "Letters"),
        (["Letters"], "Letters 2"),
        (["Letters", "Letters 3"], "Letters 2"),
        (["Letters", "Letters 2", "Letters 3"], "Letters 4"),
    ],
)
def test_the_lowest_free_number_is_put_behind_a_name_that_is_taken(taken, name):
    assert free_name("Letters", taken) == name


def test_names_for_programs_have_no_spaces():
    assert free_name("llama-3", ["llama-3", "llama-3-2"], joint="-") == "llama-3-3"
