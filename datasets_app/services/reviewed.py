"""What a person thought of the rows of a version becomes the next version."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from datasets_app import selectors
from datasets_app.curation import row_key
from datasets_app.curation.row_keys import CONTENT
from datasets_app.models import DatasetVersion, MadeBy, Review, ReviewVerdict

from .deriving import CannotDerive, derive_version, stored_rows


@dataclass
class Reviewed:
    """Iterates over `rows` with the edits of `reviews` (by row key), without what was rejected.

    `counts` says what it did, once it is through.
    """

    rows: Iterable[dict[str, Any]]
    reviews: dict[str, Review]
    kind: str
    only_starred: bool = False
    counts: dict[str, Any] = field(default_factory=lambda: {"kept": 0, "edited": 0, "left_out": 0})

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            review = self.reviews.get(row_key(row))
            verdict = review.verdict if review else ReviewVerdict.NONE
            if verdict == ReviewVerdict.REJECT or (self.only_starred and verdict != ReviewVerdict.STAR):
                self.counts["left_out"] += 1
                continue
            if review and review.edited is not None:
                row = {name: row[name] for name in row if name not in CONTENT[self.kind]} | review.edited
                self.counts["edited"] += 1
            self.counts["kept"] += 1
            yield row


def version_from_review(*, version: DatasetVersion, reviewer, only_starred: bool = False) -> DatasetVersion:
    """The next version: edits applied, rejected rows left out and, if wanted, only the gold stars kept.

    Raises CannotDerive when nothing would change or nothing would be left.
    """
    reviews = {each.row_key: each for each in selectors.reviews_by(reviewer, version.dataset)}
    if not reviews:
        raise CannotDerive(_("Nothing has been reviewed yet. Star, reject or edit some rows first."))
    reviewed = Reviewed(stored_rows(version), reviews, version.kind, only_starred)
    made_by = MadeBy.STARRED if only_starred else MadeBy.EDITED
    # The counts are filled in while the rows are written, before this is kept.
    made_from = {"review": reviewed.counts, "only_starred": only_starred}
    return derive_version(version=version, rows=reviewed, made_by=made_by, made_from=made_from)
