"""An index in memory: vectors in faiss, words as posting lists, both made of an index's rows and caught up from them.

A process that runs reads the rows that are new. One that starts reads all of them, or, of a large index, the copy that
another has put into a file (`kept`) and the rows that are new since.
"""

import logging
import threading
import time
from functools import cache
from typing import Any

import numpy as np
from django.utils.translation import gettext as _

from knowledge.models import IndexBlock, KnowledgeIndex
from knowledge.packing import unpack_vectors, unpack_words
from knowledge.stores import kept
from knowledge.stores.base import StoreFailed
from knowledge.stores.postings import Part, Postings

logger = logging.getLogger(__name__)

# Below this many vectors all are compared; above, those in the PROBES nearest of the clusters.
EXACT_MOST = 10_000
PROBES = 16
POINTS_PER_CLUSTER = 32  # that the clusters are found with
TRAINED_AGAIN_AT = 3  # times as many vectors as the clusters were found with
READ_AT_ONCE = 200  # blocks
# An index of so many pieces is put into a file, and again when a fourth of it is new or pieces went, but not at once.
KEPT_FROM = 10_000
KEPT_SHARE = 4
KEPT_PAUSE_SECONDS = 60


@cache
def faiss() -> Any:
    """Loaded by whoever searches first, and by nobody who only has the rows."""
    import faiss

    faiss.omp_set_num_threads(
        1
    )  # many questions at once are answered faster by a thread each than by all for each
    return faiss


class MemoryIndex:
    """Searched and caught up by one thread at a time; `lock` is held by whoever does."""

    def __init__(self, index_id, dimension: int) -> None:
        self.index_id, self.dimension = index_id, dimension
        self.lock = threading.Lock()
        self.seen, self.removals = 0, 0
        self.vectors: Any = None
        self.trained_with = 0
        self.postings = Postings()
        self.blocks: dict[int, int] = {}  # first number → count
        self.kept_seen, self.kept_removals, self.kept_at = 0, 0, float("-inf")

    def catch_up(self, index: KnowledgeIndex) -> None:
        """Brings it to what the row said when it was read, or further."""
        if not self.seen and index.last_number >= KEPT_FROM:
            self.take_kept(index.removals)
        if index.removals != self.removals:
            self.take_away(index)
        if index.last_number > self.seen:
            self.add_new()

    def take_away(self, index: KnowledgeIndex) -> None:
        # The counter first: what goes meanwhile is seen the next time.
        there = set(IndexBlock.objects.filter(index=self.index_id).values_list("first_number", flat=True))
        for first in set(self.blocks) - there:
            count = self.blocks.pop(first)
            self.postings.remove(first, count)
            if self.vectors is not None:
                self.vectors.remove_ids(faiss().IDSelectorRange(first, first + count))
        self.removals = index.removals

    def add_new(self) -> None:
        rows = IndexBlock.objects.filter(index=self.index_id, first_number__gt=self.seen).order_by(
            "first_number"
        )
        fresh: list[np.ndarray] = []
        numbers: list[np.ndarray] = []
        for first, count, vectors, words in rows.values_list(
            "first_number", "count", "vectors", "words"
        ).iterator(chunk_size=READ_AT_ONCE):
            self.blocks[first] = count
            self.postings.add(first, unpack_words(bytes(words)))
            if vectors and self.dimension:
                if len(vectors) != 2 * count * self.dimension:
                    raise StoreFailed(
                        _(
                            "its vectors do not have %(count)s numbers each, as its index says; make the index anew."
                        )
                        % {"count": self.dimension}
                    )
                fresh.append(unpack_vectors(bytes(vectors), self.dimension))
                numbers.append(np.arange(first, first + count, dtype="i8"))
            self.seen = max(self.seen, first + count - 1)
        self.postings.settle()
        if fresh:
            self.place(np.vstack(fresh), np.concatenate(numbers))

    def place(self, vectors: np.ndarray, numbers: np.ndarray) -> None:
        """Adds vectors; where there are many more than before, the clusters are found anew from all."""
        total = len(numbers) + (self.vectors.ntotal if self.vectors is not None else 0)
        if total > EXACT_MOST and total >= TRAINED_AGAIN_AT * self.trained_with:
            vectors, numbers = self.with_those_before(vectors, numbers)
            self.vectors, self.trained_with = clustered(vectors), len(numbers)
        elif self.vectors is None:
            flat = faiss().IndexScalarQuantizer(
                self.dimension, faiss().ScalarQuantizer.QT_fp16, faiss().METRIC_INNER_PRODUCT
            )
            self.vectors = faiss().IndexIDMap2(flat)
        self.vectors.add_with_ids(vectors.astype("f4"), numbers)

    def with_those_before(self, vectors: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.vectors is None or not self.vectors.ntotal:
            return vectors, numbers
        rows = IndexBlock.objects.filter(index=self.index_id, first_number__lt=numbers[0]).order_by(
            "first_number"
        )
        found = [(first, count, unpack_vectors(bytes(packed), self.dimension))
                 for first, count, packed in rows.values_list("first_number", "count", "vectors")
                 if packed and first in self.blocks]  # fmt: skip
        before = [np.arange(first, first + count, dtype="i8") for first, count, _vectors in found]
        return np.vstack([*(each for *_place, each in found), vectors]), np.concatenate([*before, numbers])

    def take_kept(self, removals: int) -> None:
        """Begins with the copy in its file, if there is one that is right."""
        blocks = self.blocks_in_rows()
        found = kept.read(self.index_id, removals, blocks)
        if found is None or found.facts != self.facts() | {"trained_with": found.facts.get("trained_with")}:
            return
        if "vectors" in found.arrays:
            self.vectors = faiss().deserialize_index(found.arrays.pop("vectors"))
        self.trained_with = found.facts["trained_with"]
        self.postings.parts = [Part(**found.arrays)]
        self.blocks = {first: count for first, count, _document in blocks if first <= found.seen}
        self.seen, self.removals = found.seen, removals
        self.kept_seen, self.kept_removals = found.seen, removals

    def keep(self) -> None:
        """Puts it into its file where that is worth it and nobody has done it."""
        is_new = self.seen - self.kept_seen > self.seen / KEPT_SHARE or self.kept_removals != self.removals
        if self.seen < KEPT_FROM or not is_new or time.monotonic() - self.kept_at < KEPT_PAUSE_SECONDS:
            return
        self.kept_at = time.monotonic()
        head = kept.head_of(self.index_id)
        if head and is_good_for(head, self.seen, self.removals):
            self.kept_seen, self.kept_removals = head["seen"], head["removals"]
            return
        blocks = [each for each in self.blocks_in_rows() if each[0] <= self.seen]
        words = self.postings.whole()
        if words is None or {first for first, *_rest in blocks} != set(self.blocks):
            return  # pieces went in this moment, and this copy has them
        arrays = words.arrays()
        if self.vectors is not None:
            arrays["vectors"] = faiss().serialize_index(self.vectors)
        facts = self.facts() | {"trained_with": self.trained_with}
        try:
            kept.write(self.index_id, kept.Kept(self.seen, self.removals, facts, arrays), blocks)
        except OSError as problem:
            logger.warning("the index %s has no copy on disk: %s", self.index_id, problem)
            return
        self.kept_seen, self.kept_removals = self.seen, self.removals
        if KnowledgeIndex.objects.filter(pk=self.index_id, removals=self.removals).exists():
            return
        kept.drop(self.index_id)  # something was deleted while it was written

    def facts(self) -> dict[str, Any]:
        """What a copy must agree in."""
        return {"dimension": self.dimension, "faiss": faiss().__version__ if self.dimension else ""}

    def blocks_in_rows(self) -> list[kept.Block]:
        rows = IndexBlock.objects.filter(index=self.index_id).order_by("first_number")
        return list(rows.values_list("first_number", "count", "document_id"))

    def nearest(self, vector: np.ndarray, most: int) -> list[tuple[int, float]]:
        if self.vectors is None or not self.vectors.ntotal:
            return []
        unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
        scores, numbers = self.vectors.search(unit.astype("f4")[None], min(most, self.vectors.ntotal))
        return [
            (int(number), float(score))
            for number, score in zip(numbers[0], scores[0], strict=True)
            if number >= 0
        ]

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        count = self.vectors.ntotal if self.vectors is not None else 0
        return count * (2 * self.dimension + 8) + self.postings.bytes + 4096


def is_good_for(head: dict, last_number: int, removals: int) -> bool:
    """Whether a copy has all pieces of such an index but for some new ones."""
    return head["removals"] == removals and last_number - head["seen"] <= last_number / KEPT_SHARE


def clustered(vectors: np.ndarray) -> Any:
    """An empty index with clusters found from a sample of `vectors`."""
    count, dimension = vectors.shape
    clusters = max(16, int(1.6 * count**0.5))
    index = faiss().IndexIVFScalarQuantizer(
        faiss().IndexFlatIP(dimension), dimension, clusters, faiss().ScalarQuantizer.QT_fp16,
        faiss().METRIC_INNER_PRODUCT, False,
    )  # fmt: skip
    index.cp.niter, index.cp.min_points_per_centroid = 6, 5
    index.nprobe = PROBES
    wanted = min(count, clusters * POINTS_PER_CLUSTER)
    sample = np.random.default_rng(0).choice(count, wanted, replace=False)
    sample.sort()
    index.train(vectors[sample].astype("f4"))
    return index


def current(index_id) -> KnowledgeIndex:
    """What tells whether a copy is old, read anew."""
    return KnowledgeIndex.objects.only("last_number", "removals", "dimension").get(pk=index_id)
