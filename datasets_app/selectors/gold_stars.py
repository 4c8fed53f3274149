"""The gold stars of a person over all their datasets, by filter."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from datasets_app.models import Dataset, Review, ReviewSource, ReviewVerdict
from datasets_app.selectors.curation import has_tag, with_texts
from datasets_app.selectors.rows import is_learned

GUEST_MARK = " #"  # between a guest's name and what keeps two of the same name apart


@dataclass(frozen=True)
class StarFilter:
    """Which gold stars are asked for. An empty field asks for all."""

    dataset: str = ""
    rater: str = ""
    rating: int | None = None
    tag: str = ""
    since: str = ""
    until: str = ""
    text: str = ""
    source: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "StarFilter":
        """Raises ValueError that names the value, for one that cannot be."""
        given = {name: query.get(name, "").replace("\x00", "").strip() for name in cls.__dataclass_fields__}
        rating = given.pop("rating")
        if rating and rating not in set("12345"):
            message = _("The rating is %(found)s; expected a whole number from 1 to 5.")
            raise ValueError(message % {"found": repr(rating[:20])})
        for name in ("since", "until"):
            try:
                is_date = not given[name] or parse_date(given[name]) is not None
            except ValueError:
                is_date = False
            if not is_date:
                message = _("“%(name)s” is %(found)s; expected a date such as 2026-11-21.")
                raise ValueError(message % {"name": name, "found": repr(given[name][:20])})
        if given["source"] and given["source"] not in ReviewSource.values:
            message = _("The source is %(found)s; expected one of %(known)s.")
            raise ValueError(
                message % {"found": repr(given["source"][:20]), "known": ", ".join(ReviewSource.values)}
            )
        return cls(**given, rating=int(rating) if rating else None)

    def given(self) -> dict[str, Any]:
        """Only what is asked for."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


def gold_stars(
    user, wanted: StarFilter, verdicts: tuple[str, ...] = (ReviewVerdict.STAR,)
) -> QuerySet[Review]:
    """The user's gold stars, newest first; with other `verdicts`, other reviews under the same filter."""
    stars = with_texts(Review.objects.for_user(user)).filter(verdict__in=verdicts)
    if wanted.dataset:
        stars = stars.filter(dataset__in=datasets_named(user, wanted.dataset))
    if wanted.rater:
        name, is_name = wanted.rater, Q(reviewer_name=wanted.rater)
        stars = stars.filter(
            is_name | Q(reviewer_name__startswith=name + GUEST_MARK) | Q(reviewer__username=name)
        )
    if wanted.rating:
        stars = stars.filter(rating=wanted.rating)
    if wanted.tag:
        stars = stars.filter(has_tag(wanted.tag))
    if wanted.since:
        stars = stars.filter(updated_at__gte=start_of(wanted.since))
    if wanted.until:
        stars = stars.filter(updated_at__lte=end_of(wanted.until))
    if wanted.source:
        stars = stars.filter(source=wanted.source)
    if wanted.text:
        stars = stars.filter(has_text(wanted.text))
    return stars.select_related("dataset", "version", "reviewer").order_by("-updated_at", "-pk")


def datasets_named(user, wanted: str) -> QuerySet[Dataset]:
    """By id, or by name."""
    named = Dataset.objects.for_user(user).filter(name=wanted)
    try:
        return named | Dataset.objects.for_user(user).filter(pk=UUID(wanted))
    except ValueError:
        return named


def has_text(text: str) -> Q:
    """Reviews whose row, edit or note holds `text`, as JSON may write it."""
    found = Q(note__icontains=text)
    for written in {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}:
        found |= Q(row_text__icontains=written) | Q(edited_text__icontains=written)
    return found


def start_of(day: str) -> datetime:
    return timezone.make_aware(datetime.combine(parse_date(day), time.min))


def end_of(day: str) -> datetime:
    return timezone.make_aware(datetime.combine(parse_date(day), time.max))


def name_of(review: Review) -> str:
    """Who judged, without the mark of a guest."""
    return shown_name(review.reviewer.get_username() if review.reviewer_id else review.reviewer_name)


def shown_name(name: str) -> str:
    return name.rpartition(GUEST_MARK)[0] or name


def raters_of_stars(user) -> list[str]:
    stars = Review.objects.for_user(user).filter(verdict=ReviewVerdict.STAR)
    names = stars.values_list("reviewer__username", "reviewer_name").distinct().order_by()
    return sorted({shown_name(username or name) for username, name in names if username or name})


def turns_of(review: Review) -> list[dict[str, Any]]:
    """The approved row as turns to show: `[{"role", "content", "learned"}]`, the edited one where there is one."""
    row = review.row if review.edited is None else review.edited
    if "text" in row:
        return [{"role": "assistant", "content": row["text"], "learned": True}]
    given = row.get("messages") or row.get("prompt") or []
    answers = [] if "messages" in row else row.get("chosen") or row.get("completion") or []
    turns = [{**each, "learned": "messages" in row and is_learned(each)} for each in given]
    return turns + [{**each, "learned": is_learned(each)} for each in answers]
