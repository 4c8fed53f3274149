"""What people think of rows is recorded here, whoever they are and wherever the rows come from."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from datasets_app.curation import content_of, row_key
from datasets_app.curation.edits import BadEdit, check_edit
from datasets_app.curation.row_index import RowIndex
from datasets_app.models import (
    Dataset,
    DatasetVersion,
    Review,
    ReviewSource,
    ReviewVerdict,
    ShareLink,
)

TAG_LENGTH, TAG_COUNT, NOTE_LENGTH = 60, 20, 2000
OFFERED = (ReviewSource.CHAT, ReviewSource.BATCH)


class BadReview(ValueError):
    """What was sent cannot be a review; `str()` names the value, `field` says where."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class NoSuchRow(BadReview):
    """The version holds no such row."""


def review_row(*, version: DatasetVersion, reviewer, number: int, key: str = "", **said) -> Review | None:
    """Records what `reviewer` thinks of row `number` (0 is the first) of a version; `said` as for record_review.

    `key` is the row's key as the page knew it: another row than was seen is never judged. Raises BadReview.
    """
    row = row_of(version, number, key)
    return record_review(
        owner=version.owner,
        reviewer=reviewer,
        dataset=version.dataset,
        version=version,
        number=number,
        row=row,
        **said,
    )


def row_of(version: DatasetVersion, number: int, key: str = "") -> dict[str, Any]:
    """The row of this number. Raises NoSuchRow when there is none, or it is not the row of `key`."""
    index = index_of(version)
    if not 0 <= number < len(index):
        message = _("There is no row %(number)s; the first is 0, the last %(last)s.")
        raise NoSuchRow(message % {"number": number, "last": len(index) - 1}, "row")
    row = index.rows_at([number])[0]
    if key and key != row_key(row):
        message = _("Row %(number)s is not the one that you saw. Reload the page.")
        raise NoSuchRow(message % {"number": number}, "row_key")
    return row


def index_of(version: DatasetVersion) -> RowIndex:
    """Raises NoSuchRow for a version that was erased, or whose rows are not kept here."""
    if version.erased_at:
        message = _("Version %(number)s was erased, so there are no rows to review.")
        raise NoSuchRow(message % {"number": version.number}, "version")
    if not version.rows_sha256:
        message = _(
            "The rows of version %(number)s are not kept here. Make a version that is, then review that."
        )
        raise NoSuchRow(message % {"number": version.number}, "version")
    return RowIndex(version.rows_sha256)


def record_review(
    *,
    owner,
    row: dict[str, Any],
    reviewer=None,
    reviewer_name: str = "",
    share: ShareLink | None = None,
    source: str = ReviewSource.DATASET,
    dataset: Dataset | None = None,
    version: DatasetVersion | None = None,
    number: int | None = None,
    verdict: str = "",
    rating: int | None = None,
    tags: Iterable[str] = (),
    note: str = "",
    edited: dict[str, Any] | None = None,
    is_seen: bool = True,
) -> Review | None:
    """The one door: keeps all that a person thinks of a row, in place of what they thought before.

    A review that says nothing marks the row as seen; with `is_seen` False it is taken back and None returned.
    Raises BadReview, which names the value that cannot be.
    """
    try:
        # An offered row is kept nowhere else, so what is stored is the row.
        row = row if dataset else storable(row)
        key, content = row_key(row), content_of(row)
        edited = None if edited is None else check_edit(edited, row)
    except BadEdit as problem:
        raise BadReview(str(problem), "edited") from problem
    except ValueError as problem:
        raise BadReview(str(problem), "row") from problem
    said = {
        "verdict": checked_verdict(verdict),
        "rating": checked_rating(rating),
        "tags": checked_tags(tags),
        "note": checked_note(note),
        "edited": None if edited is None else storable(edited),
    }
    who = {
        "owner": owner,
        "dataset": dataset,
        "row_key": key,
        "reviewer": reviewer,
        "share": share,
        "reviewer_name": reviewer_name,
    }
    seen = {"row": storable(content), "version": version, "row_index": number, "source": source}
    with transaction.atomic():
        if not is_seen and not any(said.values()):
            forget(who, seen)
            return None
        if dataset is None:
            waiting(owner).filter(row_key=key).delete()
        return Review.objects.update_or_create(**who, defaults=said | seen)[0]


def forget(who: dict, seen: dict) -> None:
    """As if the row had not been seen; one that was offered waits again."""
    found = Review.objects.filter(**who)
    if found.exists() and who["dataset"] is None and seen["source"] in OFFERED:
        Review.objects.get_or_create(**who | {"reviewer": None, "reviewer_name": ""}, defaults=seen)
    found.delete()


def offer_rows(*, owner, source: str, rows: Iterable[dict[str, Any]]) -> int:
    """Puts rows of a chat or a batch into the owner's queue; returns how many were new to it.

    Rows have the shape of any row (docs/architecture.md, "Rows"). Raises BadReview for another source or shape.
    """
    if source not in OFFERED:
        message = _("Rows of “%(source)s” cannot be offered; expected one of %(known)s.")
        raise BadReview(message % {"source": source, "known": ", ".join(OFFERED)}, "source")
    offered = {}
    for row in rows:
        try:
            content = storable(content_of(row))
            offered[row_key(content)] = content
        except ValueError as problem:
            raise BadReview(str(problem), "rows") from problem
    with transaction.atomic():
        known = Review.objects.for_user(owner).filter(dataset=None, row_key__in=offered)
        for key in known.values_list("row_key", flat=True):
            offered.pop(key, None)
        made = [Review(owner=owner, source=source, row_key=key, row=row) for key, row in offered.items()]
        # Two chats may offer the same row at once: the second finds it there.
        Review.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)


def waiting(owner):
    """The owner's offered rows that nobody has looked at."""
    return Review.objects.for_user(owner).filter(
        dataset=None, reviewer=None, share=None, reviewer_name="", source__in=OFFERED
    )


def remove_star(*, review: Review) -> Review:
    """Takes the star away; rating, tags, note and edit stay."""
    review.verdict = ReviewVerdict.NONE
    review.save(update_fields=["verdict", "updated_at"])
    return review


def checked_verdict(verdict: Any) -> str:
    if verdict not in ReviewVerdict.values:
        message = _("The verdict is %(found)s; expected “star”, “reject” or nothing.")
        raise BadReview(message % {"found": shown(verdict)}, "verdict")
    return verdict


def checked_rating(rating: Any) -> int | None:
    if rating is None:
        return None
    if not isinstance(rating, int) or isinstance(rating, bool) or not 1 <= rating <= 5:
        message = _("The rating is %(found)s; expected a whole number from 1 to 5.")
        raise BadReview(message % {"found": shown(rating)}, "rating")
    return rating


def checked_tags(tags: Any) -> list[str]:
    """The tags trimmed, each once."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise BadReview(_("The tags are %(found)s; expected a list.") % {"found": shown(tags)}, "tags")
    found: list[str] = []
    for tag in tags:
        if not isinstance(tag, str):
            raise BadReview(_("A tag is %(found)s; expected text.") % {"found": shown(tag)}, "tags")
        tag = " ".join(tag.replace("\x00", "").split())
        if len(tag) > TAG_LENGTH:
            message = _("The tag “%(tag)s…” has %(count)s characters; at most %(limit)s are kept.")
            raise BadReview(message % {"tag": tag[:30], "count": len(tag), "limit": TAG_LENGTH}, "tags")
        if tag and tag not in found:
            found.append(tag)
    if len(found) > TAG_COUNT:
        message = _("%(count)s tags came; at most %(limit)s are kept.")
        raise BadReview(message % {"count": len(found), "limit": TAG_COUNT}, "tags")
    return found


def checked_note(note: Any) -> str:
    if not isinstance(note, str):
        raise BadReview(_("The note is %(found)s; expected text.") % {"found": shown(note)}, "note")
    note = note.replace("\x00", "").strip()
    if len(note) > NOTE_LENGTH:
        message = _("The note has %(count)s characters; at most %(limit)s are kept.")
        raise BadReview(message % {"count": len(note), "limit": NOTE_LENGTH}, "note")
    return note


def shown(value: Any) -> str:
    return repr(value)[:60]


def storable(value: Any) -> Any:
    """`value` as PostgreSQL's JSON can hold it: the character NUL becomes U+FFFD."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    return value
