"""A worker's hold on a document or on an index that is being made: a token in every write, a heartbeat that it lives.

The token is a new UUID for each try. A worker that comes back from the dead finds that the row is no longer its own,
so nothing that it writes takes effect.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from apex.common import states
from apex.common.states import move
from knowledge import events
from knowledge.models import (
    DOCUMENT_MOVES,
    INDEX_MOVES,
    Document,
    DocumentStatus,
    IndexStatus,
    KnowledgeIndex,
)


@dataclass(frozen=True)
class Course:
    """The statuses of a kind of work, by what they mean for a worker."""

    waiting: str
    at_work: str
    refused: str  # the work said no
    crashed: str  # we broke
    moves: Mapping[str, set[str]]


WORK: dict[type, Course] = {
    Document: Course(
        DocumentStatus.QUEUED, DocumentStatus.READING, DocumentStatus.REFUSED, DocumentStatus.CRASHED,
        DOCUMENT_MOVES,
    ),
    KnowledgeIndex: Course(
        IndexStatus.QUEUED, IndexStatus.BUILDING, IndexStatus.FAILED, IndexStatus.FAILED, INDEX_MOVES
    ),
}  # fmt: skip


def claim(model, key: str):
    """Takes a row that waits and returns it, its token in `attempt`; None if somebody else has it, it does not wait,
    or all hands are busy: all there are, or those that one person may have."""
    course = WORK[model]
    with transaction.atomic():
        row = model.objects.select_for_update().filter(pk=key).first()
        if row is None or hands_at_work() >= settings.DOCUMENTS_AT_ONCE or row.owner_id in busy_owners():
            return None
        if not move(
            row, course.at_work, moves=course.moves, attempt=uuid.uuid4(), heartbeat_at=timezone.now(), progress=0,
            message="", tries=row.tries + 1,
        ):  # fmt: skip
            return None
        changed(row)
    return row


def hands_at_work() -> int:
    return sum(model.objects.filter(status=WORK[model].at_work).count() for model in WORK)


def busy_owners() -> set:
    """Who has as many at work as one person may: never all hands, so that nobody's books hold up others' letters."""
    most = max(1, settings.DOCUMENTS_AT_ONCE - 1)
    counts: dict = {}
    for model, course in WORK.items():
        rows = (
            model.objects.filter(status=course.at_work).order_by().values("owner").annotate(hands=Count("pk"))
        )
        for row in rows:
            counts[row["owner"]] = counts.get(row["owner"], 0) + row["hands"]
    return {owner for owner, hands in counts.items() if hands >= most}


def next_in_line():
    """The row that has waited longest, of those whose owner has a hand free; documents before indexes."""
    busy = busy_owners()
    for model, course in WORK.items():
        row = (
            model.objects.filter(status=course.waiting).exclude(owner__in=busy).order_by("updated_at").first()
        )
        if row is not None:
            return row
    return None


def hold(row, **changes) -> bool:
    """Writes `changes` and a heartbeat if the row is still this try's; says whether it is."""
    model = type(row)
    return states.hold(model, row.pk, status=WORK[model].at_work, where={"attempt": row.attempt}, **changes)


def put_back(row) -> bool:
    """Lets go of it: it waits again. False if it is no longer this try's."""
    course = WORK[type(row)]
    with transaction.atomic():
        is_back = move(
            row,
            course.waiting,
            moves=course.moves,
            where={"attempt": row.attempt},
            attempt=None,
            updated_at=timezone.now(),
        )
        if is_back:
            changed(row)
    return is_back


def finish(row, status: str, *, message: str = "", **changes) -> bool:
    """Ends the work and tells the pages. False if it is no longer this try's."""
    with transaction.atomic():
        is_over = move(
            row, status, moves=WORK[type(row)].moves, where={"attempt": row.attempt},
            message=message[:500], updated_at=timezone.now(), **changes,
        )  # fmt: skip
        if is_over:
            changed(row)
    return is_over


def changed(row) -> None:
    events.base_changed(row.knowledge_base_id, row.owner_id)


def silent():
    """Rows whose last heartbeat is old: they have lost their worker."""
    before = timezone.now() - timedelta(seconds=settings.DOCUMENT_SILENT_SECONDS)
    for model, course in WORK.items():
        yield from model.objects.filter(status=course.at_work, heartbeat_at__lt=before)


def lost():
    """Rows that wait and that nobody took for a while; each is given once, though several may sweep."""
    before = timezone.now() - timedelta(seconds=settings.DOCUMENT_SILENT_SECONDS)
    for model, course in WORK.items():
        for row in model.objects.filter(status=course.waiting, updated_at__lt=before).order_by("updated_at"):
            if model.objects.filter(pk=row.pk, updated_at=row.updated_at).update(updated_at=timezone.now()):
                yield row


def lock_index(index_id) -> KnowledgeIndex | None:
    """The index's row, held until the end of the transaction: pieces get their numbers one writer at a time."""
    return KnowledgeIndex.objects.select_for_update().filter(pk=index_id).first()


def take_numbers(index: KnowledgeIndex, count: int, **changes) -> int:
    """The first of `count` numbers that nobody else gets. The row is locked."""
    first = index.last_number + 1
    KnowledgeIndex.objects.filter(pk=index.pk).update(
        last_number=first + count - 1, chunk_count=F("chunk_count") + count, **changes
    )
    return first
