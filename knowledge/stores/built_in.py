"""The store that comes along: an index in the memory of each process that searches, made of the rows.

Several processes see each other's writes because each compares two counters of the index's row before it searches.
What takes most room and was not used for longest is let go of beyond `KNOWLEDGE_MEMORY_BYTES`.
"""

import threading
from collections import OrderedDict

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.utils.translation import gettext_lazy as _

from knowledge.models import IndexStatus, KnowledgeIndex
from knowledge.stores import kept, memory
from knowledge.stores.memory import MemoryIndex, current, is_good_for

COPY_SECONDS = 60  # that one may take


class BuiltIn:
    label = _("Built in")
    is_elsewhere = False

    def __init__(self) -> None:
        self.open: OrderedDict = OrderedDict()  # index id → MemoryIndex, the last used at the end
        self.lock = threading.Lock()

    def problem(self) -> str:
        return ""

    def nearest(self, index: KnowledgeIndex, vector: np.ndarray, most: int) -> list[tuple[int, float]]:
        with self.opened(index) as held:
            return held.nearest(vector, most)

    def caught_up(self, index: KnowledgeIndex) -> None:
        """Whoever searches catches up by itself; a copy on disk with pieces that have gone goes at once."""
        head = kept.head_of(index.pk)
        if head is not None and head["removals"] != index.removals:
            kept.drop(index.pk)

    def forget(self, index_id) -> None:
        self.let_go_of(index_id)
        kept.drop(index_id)

    def let_go_of(self, index_id) -> None:
        """Out of the memory of this process."""
        with self.lock:
            self.open.pop(index_id, None)

    def tidy(self) -> None:
        """Copies on disk that nobody may have any more go; what a killed process did not come to is done here."""
        ids = kept.all_kept()
        there = KnowledgeIndex.objects.in_bulk(ids)
        for index_id in ids:
            self.caught_up(there[index_id]) if index_id in there else kept.drop(index_id)

    def make_a_copy(self) -> None:
        """Of one large index that has none, or an old one: so whoever searches it first does not wait for that."""
        for index in KnowledgeIndex.objects.filter(
            status=IndexStatus.ACTIVE, last_number__gte=memory.KEPT_FROM
        ):
            head = kept.head_of(index.pk)
            if head and is_good_for(head, index.last_number, index.removals):
                continue
            if cache.add(f"knowledge-copy-{index.pk}", True, COPY_SECONDS):  # nobody else is at it
                made = MemoryIndex(index.pk, dimension_of(index))
                made.catch_up(index)
                made.keep()
                return

    def best_words(self, index: KnowledgeIndex, question: str, most: int) -> list[tuple[int, float]]:
        """Pieces with the question's words; for indexes of every store, as only this one knows words."""
        with self.opened(index) as held:
            return held.postings.best(question, most)

    def opened(self, index: KnowledgeIndex) -> "Held":
        dimension = dimension_of(index)
        with self.lock:
            memory = self.open.get(index.pk)
            if memory is None or memory.dimension != dimension:
                memory = self.open[index.pk] = MemoryIndex(index.pk, dimension)
            self.open.move_to_end(index.pk)
        return Held(self, memory)

    def let_go(self) -> None:
        """The index that was used last stays, however large."""
        with self.lock:
            while (
                len(self.open) > 1
                and sum(each.bytes for each in self.open.values()) > settings.KNOWLEDGE_MEMORY_BYTES
            ):
                self.open.popitem(last=False)


def dimension_of(index: KnowledgeIndex) -> int:
    """Of an index whose vectors are searched elsewhere only the words are wanted here."""
    return index.dimension if index.store == "built_in" else 0


class Held:
    """A MemoryIndex that is up to date, for one thread."""

    def __init__(self, store: BuiltIn, memory: MemoryIndex) -> None:
        self.store, self.memory = store, memory

    def __enter__(self) -> MemoryIndex:
        self.memory.lock.acquire()
        try:
            before = self.memory.seen
            self.memory.catch_up(current(self.memory.index_id))
            self.memory.keep()
        except BaseException:
            self.store.let_go_of(self.memory.index_id)  # half caught up; the next who asks begins anew
            self.memory.lock.release()
            raise
        if self.memory.seen != before:
            self.store.let_go()
        return self.memory

    def __exit__(self, *problem) -> None:
        self.memory.lock.release()


STORE = BuiltIn()  # one a process
