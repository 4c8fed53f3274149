"""The queue of rows to review, and how far it is."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from django.db.models import Count, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from apex.common import files
from datasets_app.curation import content_of, row_key
from datasets_app.curation.row_index import RowIndex
from datasets_app.models import Dataset, DatasetVersion, Review, ReviewVerdict

SHOWS = {
    "unseen": _("not yet seen"),
    "all": _("all"),
    "seen": _("seen"),
    "star": _("gold stars"),
    "reject": _("rejected"),
    "edited": _("edited"),
}
ORDERS = {"file": _("as in the file"), "random": _("shuffled")}
SPLITS = {"train": _("to learn from"), "held_out": _("kept aside as a test")}
BATCH = 10  # rows of one answer
# How many rows one question for the next ones may read, so that each answer is quick; the page asks on.
SCAN_LIMIT = 20_000


@dataclass(frozen=True)
class QueueFilter:
    """Which rows are asked for, and in which order. A value that cannot be counts as not given."""

    show: str = "unseen"
    rating: int | None = None
    tag: str = ""
    code: str = ""
    split: str = ""
    text: str = ""
    order: str = "file"
    seed: int = 0

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "QueueFilter":
        def one_of(name: str, known: Iterable[str], default: str) -> str:
            return query.get(name, "") if query.get(name) in known else default

        return cls(
            show=one_of("show", SHOWS, "unseen"),
            rating=int(query["rating"]) if query.get("rating") in set("12345") else None,
            tag=query.get("tag", "").replace("\x00", "").strip(),
            code=query.get("code", "").strip(),
            split=one_of("split", SPLITS, ""),
            text=query.get("text", "").strip(),
            order=one_of("order", ORDERS, "file"),
            seed=number_in(query.get("seed", "")),
        )


def number_in(text: str) -> int:
    """A whole number, or 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def reviews_by(user, dataset: Dataset | None) -> QuerySet[Review]:
    """What this user thinks of the rows of a dataset of theirs; of offered rows for None."""
    return with_texts(Review.objects.for_user(user).filter(dataset=dataset, reviewer=user, share=None))


def with_texts(reviews: QuerySet[Review]) -> QuerySet[Review]:
    """`reviews` with `tags_text`, `row_text`, `edited_text`: their JSON as text, to look for words in."""
    return reviews.annotate(
        tags_text=Cast("tags", TextField()),
        row_text=Cast("row", TextField()),
        edited_text=Cast("edited", TextField()),
    )


def queue(
    version: DatasetVersion, user, wanted: QueueFilter, after: int = 0, count: int = BATCH
) -> dict[str, Any]:
    """The next rows for `user` from place `after` (0 is the first) in the order asked for.

    `{"rows": [described], "next": place to ask on from, or None at the end, "looked_at": places passed,
    "progress": {"total", "seen", "stars", "rejected"}}`. Fewer rows than `count` with a `next` means: ask on.
    """
    index = RowIndex(version.rows_sha256)
    mine = reviews_by(user, version.dataset)
    order = order_of(len(index), wanted)
    places = np.flatnonzero(chosen_by_review(index, mine, wanted)[order[after:]]) + after
    found, next_place = next_rows(index, order, places, wanted, fault_lines(version, wanted.code), count)
    return {
        "rows": described(found, mine),
        "next": next_place,
        "looked_at": len(order) if next_place is None else next_place,
        "progress": progress(index, mine),
    }


def order_of(total: int, wanted: QueueFilter) -> np.ndarray:
    """Row numbers in the order asked for; the same seed gives the same shuffle."""
    if wanted.order == "random":
        return np.random.default_rng(wanted.seed).permutation(total)
    return np.arange(total)


def chosen_by_review(index: RowIndex, mine: QuerySet[Review], wanted: QueueFilter) -> np.ndarray:
    """For each row, by number, whether what was said of it is what is asked for."""
    asked = mine
    if wanted.rating:
        asked = asked.filter(rating=wanted.rating)
    if wanted.tag:
        asked = asked.filter(has_tag(wanted.tag))
    if wanted.show in (ReviewVerdict.STAR, ReviewVerdict.REJECT):
        asked = asked.filter(verdict=wanted.show)
    if wanted.show == "edited":
        asked = asked.filter(edited__isnull=False)
    is_about_reviews = asked is not mine or wanted.show == "seen"
    mask = index.has_any(keys_of(asked)) if is_about_reviews else np.ones(len(index), dtype=bool)
    # A rating or a tag asks for what was seen, so "not yet seen" beside it would never find anything.
    if wanted.show == "unseen" and not is_about_reviews:
        mask = ~index.has_any(keys_of(mine))
    return mask


def has_tag(tag: str) -> Q:
    """Reviews with this tag. SQLite keeps JSON as text with escapes, PostgreSQL without; neither is asked for more."""
    return Q(tags_text__contains=json.dumps(tag)) | Q(tags_text__contains=json.dumps(tag, ensure_ascii=False))


def keys_of(reviews: QuerySet[Review]) -> list[str]:
    return list(reviews.values_list("row_key", flat=True))


def next_rows(
    index: RowIndex, order: np.ndarray, places: np.ndarray, wanted: QueueFilter, lines: set[int], count: int
) -> tuple[list[tuple[int, dict]], int | None]:
    """At most `count` fitting `(number, row)` of the `places`, and the place to go on from (None: that was all)."""
    places = places.tolist()
    found: list[tuple[int, dict]] = []
    rows = index.iterate(int(order[place]) for place in places)
    for looked, (place, row) in enumerate(zip(places, rows, strict=True), 1):
        if suits(row, wanted, lines):
            found.append((int(order[place]), row))
        if (len(found) == count or looked == SCAN_LIMIT) and looked < len(places):
            return found, places[looked]
    return found, None


def suits(row: dict[str, Any], wanted: QueueFilter, lines: set[int]) -> bool:
    if wanted.split and row.get("split") != wanted.split:
        return False
    if wanted.code and row.get("line") not in lines:
        return False
    return not wanted.text or contains(content_of(row), wanted.text.casefold())


def contains(value: Any, text: str) -> bool:
    """Whether any text within `value` holds `text`, whatever its case."""
    if isinstance(value, str):
        return text in value.casefold()
    if isinstance(value, dict):
        return any(contains(each, text) for name, each in value.items() if name != "role")
    return isinstance(value, list) and any(contains(each, text) for each in value)


def fault_codes(version: DatasetVersion) -> list[str]:
    """Codes of what was found in rows that are there all the same."""
    return sorted({fault["code"] for fault in version.faults if fault.get("code") and fault.get("line")})


def fault_lines(version: DatasetVersion, code: str) -> set[int]:
    """Lines of the file with this fault: of those that the version keeps, and of the whole report if there is one."""
    if not code:
        return set()
    lines = {fault["line"] for fault in version.faults if fault.get("code") == code}
    if version.report_sha256:
        with files.open_stored(version.report_sha256) as report:
            told = msgspec.json.decode(report.read())
        faults = [*told.get("errors", []), *told.get("warnings", [])]
        lines |= {fault["line"] for fault in faults if fault.get("code") == code}
    return lines - {None}


def described(rows: list[tuple[int, dict]], mine: QuerySet[Review]) -> list[dict[str, Any]]:
    """Rows as the page shows them: `{"number", "key", "row": content, "split", "line", "review"}`."""
    keys = [row_key(row) for _number, row in rows]
    reviews = {review.row_key: review for review in mine.filter(row_key__in=keys)}
    return [
        {
            "number": number,
            "key": key,
            "row": content_of(row),
            "split": row.get("split"),
            "line": row.get("line"),
            "review": opinion(reviews.get(key)),
        }
        for key, (number, row) in zip(keys, rows, strict=True)
    ]


def opinion(review: Review | None) -> dict[str, Any]:
    """What was said, in the shape in which the page and the API send it back."""
    if review is None:
        return {"verdict": "", "rating": None, "tags": [], "note": "", "edited": None, "is_seen": False}
    said = ("verdict", "rating", "tags", "note", "edited")
    return {name: getattr(review, name) for name in said} | {"is_seen": True}


def progress(index: RowIndex, mine: QuerySet[Review]) -> dict[str, int]:
    """How many rows there are, and of how many something was said; a row that is there twice counts twice."""
    by_verdict: dict[str, list[str]] = {"star": [], "reject": [], "": []}
    for key, verdict in mine.values_list("row_key", "verdict"):
        by_verdict[verdict].append(key)
    counts = {verdict: int(np.count_nonzero(index.has_any(keys))) for verdict, keys in by_verdict.items()}
    return {
        "total": len(index),
        "seen": sum(counts.values()),
        "stars": counts["star"],
        "rejected": counts["reject"],
    }


def inbox(user, wanted: QueueFilter, after: int = 0, count: int = BATCH) -> dict[str, Any]:
    """As `queue`, for rows that chats and batches offered; `after` is a place in the order of their coming."""
    offered = (
        Review.objects.for_user(user)
        .filter(dataset=None, share=None)
        .filter(Q(reviewer=user) | Q(reviewer=None))
    )
    offered = offered.order_by("created_at", "pk")
    reviews = list(offered)
    if wanted.order == "random":
        random.Random(wanted.seed).shuffle(reviews)
    found, next_place = [], None
    for place, review in enumerate(reviews):
        if place < after or not inbox_suits(review, wanted):
            continue
        if len(found) == count:
            next_place = place
            break
        said = opinion(review if review.reviewer_id else None)
        row = {
            "number": None,
            "key": review.row_key,
            "row": review.row,
            "split": None,
            "line": None,
            "review": said,
        }
        found.append(row | {"source": review.source})
    counts = offered.aggregate(
        total=Count("pk"),
        seen=Count("pk", filter=Q(reviewer=user)),
        stars=Count("pk", filter=Q(verdict=ReviewVerdict.STAR)),
        rejected=Count("pk", filter=Q(verdict=ReviewVerdict.REJECT)),
    )
    looked_at = len(reviews) if next_place is None else next_place
    return {"rows": found, "next": next_place, "looked_at": looked_at, "progress": counts}


def inbox_suits(review: Review, wanted: QueueFilter) -> bool:
    if wanted.rating and review.rating != wanted.rating or wanted.tag and wanted.tag not in review.tags:
        return False
    if wanted.text and not contains(review.row, wanted.text.casefold()):
        return False
    shows = {
        "all": True,
        "unseen": review.reviewer_id is None or bool(wanted.rating or wanted.tag),
        "seen": review.reviewer_id is not None,
        "star": review.verdict == ReviewVerdict.STAR,
        "reject": review.verdict == ReviewVerdict.REJECT,
        "edited": review.edited is not None,
    }
    return shows[wanted.show]


def tags_of(reviews: QuerySet[Review]) -> list[str]:
    """The tags in use, the most used first."""
    counts = Counter(tag for tags in reviews.exclude(tags=[]).values_list("tags", flat=True) for tag in tags)
    return [tag for tag, _count in counts.most_common(50)]
