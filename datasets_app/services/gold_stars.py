"""Gold stars leave as a file or as a set of their own, reviews as a table."""

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from datasets_app import selectors
from datasets_app.curation.exports import SHAPES, Exporting, Judged
from datasets_app.models import DatasetVersion, MadeBy, Review, ReviewVerdict
from datasets_app.selectors.gold_stars import StarFilter

from .bringing import create_dataset, free_name

CSV_COLUMNS = [
    "row",
    "row_key",
    "who",
    "when",
    "verdict",
    "rating",
    "tags",
    "note",
    "edited",
    "source",
    "content",
]


class NothingToExport(ValueError):
    """No row is left; `str()` says why and what to do. `skipped` counts reasons."""

    def __init__(self, message: str, skipped: dict[str, int] | None = None) -> None:
        super().__init__(message)
        self.skipped = skipped or {}


@dataclass(frozen=True)
class Exported:
    """`content` is JSON Lines; `skipped` counts the rows that could not go, by reason."""

    name: str
    content: bytes
    count: int
    skipped: dict[str, int]


def export_gold_stars(*, owner, shape: str, wanted: StarFilter) -> Exported:
    """The gold stars that `wanted` asks for, as JSON Lines of one of SHAPES. Raises NothingToExport, ValueError."""
    if shape not in SHAPES:
        message = _("There is no export as %(found)s; expected one of %(known)s.")
        raise ValueError(message % {"found": repr(shape[:40]), "known": ", ".join(SHAPES)})
    exporting = Exporting(judged_for(owner, shape, wanted), shape)
    content = b"".join(msgspec.json.encode(record) + b"\n" for record in exporting)
    if not exporting.count:
        raise nothing_to_export(exporting.skipped, wanted)
    name = f"gold-stars-{timezone.localdate():%Y-%m-%d}.jsonl"
    return Exported(name, content, exporting.count, dict(exporting.skipped))


def judged_for(owner, shape: str, wanted: StarFilter) -> Iterator[Judged]:
    """Stars; for preferences the rejected answers too, which the stars are compared with. The oldest first."""
    verdicts = (ReviewVerdict.STAR, ReviewVerdict.REJECT) if shape == "preference" else (ReviewVerdict.STAR,)
    reviews = selectors.gold_stars(owner, wanted, verdicts).order_by("created_at", "pk")
    for row, edited, verdict in reviews.values_list("row", "edited", "verdict").iterator():
        yield Judged(row, edited, verdict == ReviewVerdict.STAR)


def nothing_to_export(skipped: Counter[str], wanted: StarFilter) -> NothingToExport:
    if not skipped:
        message = (
            _("No gold star fits this filter. Loosen it.")
            if wanted.given()
            else _("There are no gold stars yet. Open a set, choose Review, and give some rows a star.")
        )
        return NothingToExport(message)
    reason, count = skipped.most_common(1)[0]
    message = ngettext(
        "None of the gold stars can go into this shape: %(count)s of them because %(reason)s. Choose another shape.",
        "None of the gold stars can go into this shape: %(count)s of them because %(reason)s. Choose another shape.",
        count,
    )
    return NothingToExport(message % {"count": count, "reason": reason}, dict(skipped))


def dataset_from_gold_stars(*, owner, name: str, shape: str, wanted: StarFilter) -> DatasetVersion:
    """A set of the gold stars, read back from the very file that the export gives.

    Raises NothingToExport, ValueError for an unknown shape, and what create_dataset raises.
    """
    exported = export_gold_stars(owner=owner, shape=shape, wanted=wanted)
    name = name.strip() or free_name(owner=owner, wanted=_("Gold stars"))
    made_from = {
        "gold_stars": exported.count,
        "shape": shape,
        "filter": wanted.given(),
        "skipped": exported.skipped,
    }
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = Path(folder) / exported.name
        path.write_bytes(exported.content)
        with transaction.atomic():
            version = create_dataset(
                owner=owner, name=name, file=path, file_name=exported.name, made_by=MadeBy.STARRED
            )
            # A version is written once; this is still part of its writing, as nobody can have seen it.
            version.made_from |= made_from
            DatasetVersion.objects.filter(pk=version.pk).update(made_from=version.made_from)
    return version


def reviews_csv(reviews: Iterable[Review]) -> str:
    """The reviews as a table. Cells that a spreadsheet would run as a formula begin with an apostrophe."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(CSV_COLUMNS)
    for review in reviews:
        cells = [
            "" if review.row_index is None else review.row_index,
            review.row_key,
            selectors.name_of(review),
            review.updated_at.isoformat(timespec="seconds"),
            review.verdict,
            review.rating or "",
            ", ".join(review.tags),
            review.note,
            "" if review.edited is None else msgspec.json.encode(review.edited).decode(),
            review.source,
            msgspec.json.encode(review.row).decode(),
        ]
        table.writerow([harmless(cell) for cell in cells])
    return out.getvalue()


def harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
