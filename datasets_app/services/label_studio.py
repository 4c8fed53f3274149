"""Reviews go to Label Studio as tasks and come back as reviews."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from datasets_app.curation import row_key
from datasets_app.curation.exports import Unfit
from datasets_app.curation.label_studio import (
    Opinion,
    better_answer,
    keys_in,
    read_tasks,
    task_of,
    with_better_answer,
)
from datasets_app.curation.row_index import RowIndex
from datasets_app.models import DatasetVersion, Review, ReviewSource
from datasets_app.selectors.sharing import shown_name

from .curation import BadReview, index_of, record_review

LABEL_STUDIO_LIMIT = 50 * 1024 * 1024  # bytes; the list of tasks is one JSON value and is read whole
UNKNOWN_SHOWN = 20
PIECE_BYTES = 64 * 1024


class BadTasks(ValueError):
    """The file is no export of Label Studio; `str()` says what was found."""


@dataclass
class Taken:
    """What an import did, in opinions: `reviews` were written, `unchanged` are those that we had sent out,
    `unmatched` are about no row of the version, `silent` say nothing we know; `unknown` parts are counted by name.
    """

    reviews: int = 0
    unchanged: int = 0
    unmatched: int = 0
    silent: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "reviews": self.reviews,
            "unchanged": self.unchanged,
            "unmatched": self.unmatched,
            "silent": self.silent,
            "unknown": dict(self.unknown.most_common(UNKNOWN_SHOWN)),
        }


def label_studio_tasks(*, version: DatasetVersion, as_predictions: bool = False) -> Iterator[bytes]:
    """The version as one JSON list of tasks, piece by piece; reviews by anybody are its annotations.

    Raises BadReview where no rows are kept. What comes after needs no database.
    """
    index = index_of(version)
    opinions: dict[str, list[Opinion]] = {}
    reviews = Review.objects.filter(dataset=version.dataset).select_related("reviewer").order_by("created_at")
    for review in reviews:
        opinion = opinion_of(review)
        if opinion.says_something:
            opinions.setdefault(review.row_key, []).append(opinion)
    return pieces_of(index, opinions, as_predictions)


def pieces_of(index: RowIndex, opinions: dict[str, list[Opinion]], as_predictions: bool) -> Iterator[bytes]:
    piece = bytearray(b"[\n")
    for number, row in enumerate(index.iterate(range(len(index)))):
        task = task_of(row, number, opinions.get(row_key(row), []), as_predictions)
        piece += (b",\n" if number else b"") + msgspec.json.encode(task)
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece + b"\n]\n")


def opinion_of(review: Review) -> Opinion:
    return Opinion(
        data={},
        mark=review.pk.hex,
        who=review.reviewer.get_username() if review.reviewer_id else shown_name(review.reviewer_name),
        verdict=review.verdict,
        rating=review.rating,
        tags=review.tags,
        note=review.note,
        better=better_answer(review.edited),
    )


def import_label_studio(*, version: DatasetVersion, tasks: Any) -> Taken:
    """Takes the annotations of an export (JSON or JSON_MIN; bytes, or read already) as reviews of the version's rows.

    Two annotators without a name of one task are told apart by number. Raises BadTasks; BadReview where no rows
    are kept.
    """
    try:
        opinions, unknown = read_tasks(read_json(tasks) if isinstance(tasks, bytes) else tasks)
    except ValueError as problem:
        raise BadTasks(str(problem)) from problem
    taken = Taken(unknown=unknown)
    index = index_of(version)
    nameless: Counter[str] = Counter()
    for opinion in opinions:
        take_opinion(opinion, version, index, taken, nameless)
    return taken


def read_json(content: bytes) -> Any:
    if len(content) > LABEL_STUDIO_LIMIT:
        message = _(
            "%(size)s MB came; at most %(limit)s MB of tasks can be read at once. Export fewer tasks."
        )
        raise BadTasks(message % {"size": len(content) // 2**20 + 1, "limit": LABEL_STUDIO_LIMIT // 2**20})
    try:
        return msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError) as problem:
        message = _("This is no JSON: %(problem)s. In Label Studio choose Export, then JSON or JSON-MIN.")
        raise BadTasks(message % {"problem": problem}) from problem


def take_opinion(
    opinion: Opinion, version: DatasetVersion, index: RowIndex, taken: Taken, nameless: Counter[str]
) -> None:
    if not opinion.says_something:
        taken.silent += 1
        return
    found = ((key, index.number_of(key)) for key in keys_in(opinion.data))
    key, number = next(((key, number) for key, number in found if number is not None), ("", None))
    if number is None:
        taken.unmatched += 1
        return
    sent = Review.objects.filter(dataset=version.dataset, row_key=key, pk=as_uuid(opinion.mark)).first()
    if sent is not None and opinion_of(sent).said == opinion.said:
        taken.unchanged += 1
        return
    row = index.rows_at([number])[0]
    edited = None
    if opinion.better:
        try:
            edited = with_better_answer(row, opinion.better)
            edited = {name: edited[name] for name in edited if name not in ("conversation", "line", "split")}
        except Unfit as reason:
            taken.unknown[f"better answers, as {reason}"] += 1
    nameless[key] += not opinion.who
    name = opinion.who or ("Label Studio" if nameless[key] == 1 else f"Label Studio {nameless[key]}")
    try:
        record_review(
            owner=version.owner,
            reviewer_name=name,
            source=ReviewSource.LABEL_STUDIO,
            dataset=version.dataset,
            version=version,
            number=number,
            row=row,
            verdict=opinion.verdict,
            rating=opinion.rating,
            tags=opinion.tags[:20],
            note=opinion.note,
            edited=edited,
        )
        taken.reviews += 1
    except BadReview as problem:
        taken.unknown[str(problem)] += 1


def as_uuid(mark: str) -> UUID | None:
    try:
        return UUID(mark)
    except ValueError:
        return None
