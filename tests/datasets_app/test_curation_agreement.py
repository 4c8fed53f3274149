"""Agreement, held against published examples."""

import pytest

from datasets_app.curation.agreement import (
    agreement_of,
    krippendorff_alpha,
    percent_agreement,
    weighted_kappa,
)

N = None
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four people, twelve examples,
# some not rated. Its values are 0.743 (nominal), 0.815 (ordinal) and 0.849 (interval).
EXAMPLE_C = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
# SAS/STAT User's Guide, The FREQ Procedure, "Agreement Study": 88 patients seen by two dermatologists.
# Its values are 0.3449 (simple kappa) and 0.5082 (weighted, Cicchetti-Allison, which is linear).
SKIN = [[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]]
# scikit-learn, test_cohen_kappa: 0.9315, 0.9412 (linear), 0.9541 (quadratic).
ONE, OTHER = [0] * 46 + [1] * 44 + [2] * 10, [0] * 50 + [1] * 40 + [2] * 10


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_own_example(level, alpha):
    units = [[rating for rating in unit if rating] for unit in zip(*EXAMPLE_C, strict=True)]
    assert krippendorff_alpha(units, level) == pytest.approx(alpha, abs=0.0005)


@pytest.mark.parametrize(("weights", "kappa"), [("none", 0.3449), ("linear", 0.5082)])
def test_kappa_is_that_of_the_sas_guide(weights, kappa):
    pairs = [(i, j) for i, row in enumerate(SKIN) for j, count in enumerate(row) for _ in range(count)]
    assert len(pairs) == 88
    assert weighted_kappa(pairs, weights) == pytest.approx(kappa, abs=0.00005)


@pytest.mark.parametrize(("weights", "kappa"), [("none", 0.9315), ("linear", 0.9412), ("quadratic", 0.9541)])
def test_kappa_is_that_of_scikit_learn(weights, kappa):
    assert weighted_kappa(zip(ONE, OTHER, strict=True), weights) == pytest.approx(kappa, abs=0.00005)


def test_full_agreement_is_one():
    assert krippendorff_alpha([[1, 1], [5, 5], [3, 3, 3]]) == 1
    assert weighted_kappa([(1, 1), (5, 5)]) == 1
    assert percent_agreement([(1, 1), (5, 5)]) == 100


def test_always_the_opposite_is_below_zero():
    assert krippendorff_alpha([[1, 5], [5, 1], [1, 5]]) < 0
    assert weighted_kappa([(1, 5), (5, 1)]) == -1


def test_where_nothing_can_be_said_nothing_is_said():
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([[4], [2]]) is None
    assert krippendorff_alpha([[4, 4], [4, 4]]) is None
    assert weighted_kappa([]) is None
    assert weighted_kappa([(4, 4), (4, 4)]) is None
    assert percent_agreement([]) is None


def test_two_people_get_kappa_and_three_do_not():
    two = agreement_of({"a": {"x": 1, "y": 2}, "b": {"x": 5, "y": 5}, "c": {"x": 3}})
    assert (two.raters, two.overlap, two.percent) == (2, 2, 50)
    assert 0 < two.kappa <= 1
    assert 0 < two.alpha <= 1
    three = agreement_of({"a": {"x": 1, "y": 2}, "b": {"x": 5, "z": 5}})
    assert (three.raters, three.overlap, three.kappa, three.percent) == (3, 2, None, None)
    assert agreement_of({"a": {"x": 4, "y": 4}}).is_unanimous
    assert agreement_of({}).raters == 0
