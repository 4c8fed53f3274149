"""Who rated by which link, and how far those who rate agree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Count, Max, Q, QuerySet
from django.utils.translation import gettext as _

from datasets_app.curation.agreement import Agreement, agreement_of, spread
from datasets_app.curation.row_index import RowIndex
from datasets_app.models import Dataset, Review, ShareLink
from datasets_app.selectors.curation import BATCH, QueueFilter, described, keys_of, next_rows
from datasets_app.selectors.gold_stars import shown_name, turns_of


def share_links_of(dataset: Dataset) -> QuerySet[ShareLink]:
    """The dataset's links, newest first, each with `guests` and `ratings` counted."""
    return (
        ShareLink.objects.filter(version__dataset=dataset)
        .select_related("version")
        .annotate(
            guests=Count("reviews__reviewer_name", distinct=True),
            ratings=Count("reviews", filter=Q(reviews__rating__isnull=False)),
            last_at=Max("reviews__updated_at"),
        )
        .order_by("-created_at")
    )


def guest_queue(link: ShareLink, reviewer_name: str, after: int = 0, count: int = BATCH) -> dict[str, Any]:
    """As `queue`, for a guest: rows not yet seen, their content and what this guest said, and nothing else.

    All guests of a link get the rows in the same shuffled order, so that what they rate overlaps.
    """
    index = RowIndex(link.version.rows_sha256)
    mine = Review.objects.filter(share=link, reviewer_name=reviewer_name)
    order = np.random.default_rng(link.pk.int).permutation(len(index))
    is_unseen = ~index.has_any(keys_of(mine))
    places = np.flatnonzero(is_unseen[order[after:]]) + after
    found, next_place = next_rows(index, order, places, QueueFilter(), set(), count)
    shown = ("number", "key", "row", "review")
    return {
        "rows": [{name: row[name] for name in shown} for row in described(found, mine)],
        "next": next_place,
        "looked_at": len(order) if next_place is None else next_place,
        "progress": {
            "total": len(index),
            "seen": int(np.count_nonzero(~is_unseen)),
            "stars": 0,
            "rejected": 0,
        },
    }


@dataclass(frozen=True)
class Rater:
    """`key` tells two of the same name apart; `name` is shown."""

    key: str
    name: str
    count: int


def agreement(dataset: Dataset) -> dict[str, Any]:
    """Who rated how many rows of the dataset, how far they agree, and the rows they disagree on most.

    `{"raters": [Rater], "figures": Agreement, "words": a sentence, "disputed": [{"review", "ratings", "spread"}]}`.
    """
    rated = Review.objects.filter(dataset=dataset, rating__isnull=False).order_by("created_at")
    units: dict[str, dict[str, int]] = {}
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    fields = ("row_key", "rating", "reviewer", "reviewer__username", "reviewer_name")
    for key, rating, reviewer, username, name in rated.values_list(*fields):
        rater = f"user {reviewer}" if reviewer else f"name {name}"
        units.setdefault(key, {})[rater] = rating
        counts[rater] = counts.get(rater, 0) + 1
        names[rater] = shown_name(username or name)
    shown = numbered(names)
    figures = agreement_of(units)
    return {
        "raters": [Rater(rater, shown[rater], counts[rater]) for rater in shown],
        "figures": figures,
        "words": agreement_in_words(figures),
        "disputed": disputed(dataset, units, shown),
    }


def numbered(names: dict[str, str]) -> dict[str, str]:
    """Rater → name, the second of the same name with a 2 behind it."""
    taken: dict[str, int] = {}
    found = {}
    for rater, name in names.items():
        taken[name] = taken.get(name, 0) + 1
        found[rater] = name if taken[name] == 1 else f"{name} ({taken[name]})"
    return found


def disputed(
    dataset: Dataset, units: dict[str, dict[str, int]], names: dict[str, str], most: int = 20
) -> list[dict]:
    """The rows on which ratings lie furthest apart, the widest first."""
    apart = sorted(
        (key for key in units if spread(units[key].values())), key=lambda key: -spread(units[key].values())
    )
    apart = apart[:most]
    rows = {review.row_key: review for review in Review.objects.filter(dataset=dataset, row_key__in=apart)}
    return [
        {
            "review": rows[key],
            "text": (turns_of(rows[key]) or [{}])[-1].get("content") or "",
            "number": (rows[key].row_index or 0) + 1,
            "ratings": [(names[rater], rating) for rater, rating in units[key].items()],
            "spread": spread(units[key].values()),
        }
        for key in apart
    ]


def agreement_in_words(figures: Agreement) -> str:
    """One sentence. The bounds 0.8 and 0.667 are Krippendorff's (Content Analysis, 2004, p. 241)."""
    if figures.raters == 0:
        return _("Nobody has rated anything yet.")
    if figures.raters == 1:
        return _("One person has rated so far; agreement needs two.")
    if not figures.overlap:
        return _("Nobody has rated an example that another rated too, so nothing can be compared yet.")
    if figures.is_unanimous:
        return _(
            "They gave the same rating to everything that two of them saw: full agreement, but no proof that "
            "they would tell better from worse."
        )
    alpha = figures.alpha or 0
    if alpha >= 0.8:
        return _("They agree: the ratings can be relied on.")
    if alpha >= 0.667:
        return _("They mostly agree: good enough for careful conclusions.")
    if alpha >= 0.4:
        return _("They agree in part: talk about the rows below before you rely on the ratings.")
    if alpha > 0:
        return _("They hardly agree more than by chance: say more clearly what a 1 and a 5 mean.")
    return _("They agree no more than by chance, or less: do not rely on these ratings.")
