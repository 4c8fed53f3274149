"""How far people agree who rate the same examples. No Django inside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations


def krippendorff_alpha(units: Iterable[Iterable[int]], level: str = "ordinal") -> float | None:
    """Krippendorff's alpha: 1 is full agreement, 0 what chance gives, below 0 worse than chance.

    `units` are the ratings of each example, by any number of people; examples with fewer than two ratings do not
    count. `level` is "nominal", "ordinal" or "interval". None where it is not defined: nothing was rated twice,
    or all ratings are the same.

    alpha = 1 - D_o / D_e, with o_ck the coincidences (each ordered pair of ratings within a unit of m ratings
    counts 1 / (m - 1)), n_c their sums, n the sum of those:
    D_o = (1 / n) sum_ck o_ck d²_ck, D_e = (1 / (n (n - 1))) sum_ck n_c n_k d²_ck, and for ordinal ratings
    d_ck = (sum of n_g for g from c to k) - (n_c + n_k) / 2.
    Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), University of Pennsylvania.
    """
    coincidences: Counter[tuple[int, int]] = Counter()
    for unit in units:
        ratings = list(unit)
        for at, one in enumerate(ratings):
            for other in ratings[:at] + ratings[at + 1 :]:
                coincidences[one, other] += 1 / (len(ratings) - 1)
    totals: Counter[int] = Counter()
    for (one, _other), weight in coincidences.items():
        totals[one] += weight
    n = sum(totals.values())
    distance = DISTANCES[level]
    expected = sum(totals[c] * totals[k] * distance(c, k, totals) for c, k in combinations(sorted(totals), 2))
    if not expected:
        return None
    observed = sum(
        weight * distance(min(c, k), max(c, k), totals) for (c, k), weight in coincidences.items() if c != k
    )
    return 1 - (n - 1) * observed / (2 * expected)


def _nominal(c: int, k: int, totals: Mapping[int, float]) -> float:
    return float(c != k)


def _ordinal(c: int, k: int, totals: Mapping[int, float]) -> float:
    between = sum(total for value, total in totals.items() if c <= value <= k)
    return (between - (totals[c] + totals[k]) / 2) ** 2


def _interval(c: int, k: int, totals: Mapping[int, float]) -> float:
    return (c - k) ** 2


# The squared distance of two ratings c <= k, given how often each value was used.
DISTANCES = {"nominal": _nominal, "ordinal": _ordinal, "interval": _interval}


def weighted_kappa(pairs: Iterable[tuple[int, int]], weights: str = "quadratic") -> float | None:
    """Cohen's weighted kappa of two people who rated the same examples; `weights` "none", "linear" or "quadratic".

    kappa = 1 - sum_ij w_ij x_ij / sum_ij w_ij e_ij, with x the counts of the pairs, e what the two people's own
    habits would give by chance, w = 0 or 1, |i - j| or (i - j)².
    None without pairs, and where both always gave the same one rating.
    Source: J. Cohen, "Weighted kappa", Psychological Bulletin 70 (1968) 213-220.
    """
    counts = Counter(pairs)
    n = sum(counts.values())
    first, second = Counter(), Counter()
    for (one, other), count in counts.items():
        first[one] += count
        second[other] += count
    weigh = KAPPA_WEIGHTS[weights]
    expected = sum(weigh(i, j) * first[i] * second[j] for i in first for j in second)
    if not expected:
        return None
    observed = sum(weigh(i, j) * count for (i, j), count in counts.items())
    return 1 - n * observed / expected


KAPPA_WEIGHTS = {
    "none": lambda i, j: float(i != j),
    "linear": lambda i, j: abs(i - j),
    "quadratic": lambda i, j: (i - j) ** 2,
}


def percent_agreement(pairs: Iterable[tuple[int, int]]) -> float | None:
    """How many of 100 examples got the very same rating from both; None without pairs."""
    pairs = list(pairs)
    return 100 * sum(one == other for one, other in pairs) / len(pairs) if pairs else None


@dataclass(frozen=True)
class Agreement:
    """What can be said of ratings by several people. `alpha`, `kappa`, `percent`: None where not defined.

    `overlap` counts the examples that two or more people rated; `kappa` and `percent` are for exactly two people.
    """

    raters: int
    overlap: int
    alpha: float | None
    kappa: float | None
    percent: float | None
    is_unanimous: bool


def agreement_of(units: Mapping[str, Mapping[str, int]]) -> Agreement:
    """`units` are example → {rater: rating}."""
    shared = [ratings for ratings in units.values() if len(ratings) > 1]
    raters = sorted({rater for ratings in units.values() for rater in ratings})
    pairs = []
    if len(raters) == 2:
        pairs = [(ratings[raters[0]], ratings[raters[1]]) for ratings in shared]
    return Agreement(
        raters=len(raters),
        overlap=len(shared),
        alpha=krippendorff_alpha(ratings.values() for ratings in shared),
        kappa=weighted_kappa(pairs),
        percent=percent_agreement(pairs),
        is_unanimous=bool(shared) and len({rating for ratings in shared for rating in ratings.values()}) == 1,
    )


def spread(ratings: Iterable[int]) -> int:
    """How far apart the ratings of one example are: 0 to 4."""
    ratings = list(ratings)
    return max(ratings) - min(ratings) if ratings else 0
