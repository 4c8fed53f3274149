"""Deleting that deletes: rows, what stores hold, and files that nothing else needs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apex.common import files
from audit.models import Act
from audit.services import record_act
from knowledge import events, leases
from knowledge.holding import is_held as is_used
from knowledge.indexing import remove_pieces
from knowledge.models import Chunk, Document, IndexBlock, KnowledgeBase, KnowledgeIndex, Remnant
from knowledge.stores import STORES, StoreFailed, built_in

logger = logging.getLogger(__name__)


@contextmanager
def thorough() -> Iterator[None]:
    """What is deleted in here is overwritten on disk. SQLite otherwise leaves it in free pages and in its log.

    PostgreSQL overwrites when it vacuums, which it does by itself.
    """
    is_sqlite = connection.vendor == "sqlite"
    if is_sqlite:
        run("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        if is_sqlite:
            run("PRAGMA secure_delete=OFF")
    # The log still holds the old pages until it is begun anew; somebody who reads meanwhile puts that off.
    if is_sqlite and not connection.in_atomic_block and run("PRAGMA wal_checkpoint(TRUNCATE)")[0]:
        logger.info("the write-ahead log is in use; what was deleted goes from it at its next checkpoint")


def run(statement: str):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()


def erase_documents(documents) -> None:
    """Documents of one owner, with their pieces in every index. Their files go with them (`knowledge.signals`)."""
    rows = list(documents)
    indexes: set = set()
    with thorough(), transaction.atomic():
        for document in rows:
            indexes |= erase_pieces(document)
            Document.objects.filter(pk=document.pk).delete()
            events.base_changed(document.knowledge_base_id, document.owner_id)
    for index in KnowledgeIndex.objects.filter(pk__in=indexes):
        tell_store(index)


def erase_pieces(document: Document) -> set:
    """Takes them out of every index that has some; returns the ids of those."""
    held = set(IndexBlock.objects.filter(document=document).values_list("index", flat=True))
    held |= set(Chunk.objects.filter(document=document).values_list("index", flat=True).distinct())
    for index_id in held:
        leases.lock_index(index_id)
        remove_pieces(index_id, document)
    return held


def erase_base(base: KnowledgeBase) -> None:
    with thorough(), transaction.atomic():
        events.base_changed(base.pk, base.owner_id)
        record_act(Act.DELETED, subject=base)
        base.delete()


def tell_store(index: KnowledgeIndex) -> bool:
    """Behind a commit. A store that cannot be reached (False) catches up from the rows before it is asked."""
    built_in.STORE.caught_up(index)  # it has the words of every index
    try:
        STORES[index.store].caught_up(index)
    except StoreFailed as problem:
        logger.warning("the index %s is caught up later: %s", index.pk, problem)
        return False
    return True


def note_remnant(index: KnowledgeIndex) -> None:
    if STORES[index.store].is_elsewhere:
        Remnant.objects.create(index_id=index.pk, store=index.store, whose=str(index.owner_id))


def forget_index(index_id) -> None:
    """Behind the commit in which it went: what holds it lets go of it. What cannot be reached now is tried again."""
    built_in.STORE.forget(index_id)
    for remnant in Remnant.objects.filter(index_id=index_id):
        forget_remnant(remnant)


def forget_remnant(remnant: Remnant) -> bool:
    """Has its store let go of it. False where that cannot be now; the row says why."""
    try:
        STORES[remnant.store].forget(remnant.index_id)
    except StoreFailed as problem:
        logger.warning(
            "the index %s is gone, but not yet in %s: %s", remnant.index_id, remnant.store, problem
        )
        Remnant.objects.filter(pk=remnant.pk).update(
            tries=F("tries") + 1, tried_at=timezone.now(), problem=str(problem)[:500]
        )
        return False
    remnant.delete()
    return True


def forget_remnants() -> None:
    """Tries again what could not be reached; one try for each store that does not answer."""
    away: set[str] = set()
    for remnant in Remnant.objects.all():
        if remnant.store not in away and not forget_remnant(remnant):
            away.add(remnant.store)


def catch_up_removals() -> None:
    """What was deleted goes also from stores elsewhere that were away then, without waiting for a search."""
    elsewhere = [name for name, store in STORES.items() if store.is_elsewhere]
    for index in KnowledgeIndex.objects.filter(store__in=elsewhere).exclude(removals=0):
        if index.store_state.get("removals", 0) != index.removals and not tell_store(index):
            return


def erase_files(*hashes: str) -> None:
    """Removes the stored bytes that nothing needs any more."""
    for sha256 in {each for each in hashes if each}:
        if not is_used(sha256) and not files.is_held(sha256):
            files.delete_stored(sha256)
