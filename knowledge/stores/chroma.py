"""ChromaDB as a service of its own, over its HTTP API (v2): a collection for each index, vectors passed in.

Its Python server and its client are not used: the one can be made to run strangers' code, the other fetches models.
What the collection has been given stands in the index's `store_state`: `pushed`, the last number, and `removals`.
Two who push at once do the same twice, which changes nothing.
"""

import os
from functools import cache
from typing import Any

import httpx2
import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from knowledge.models import IndexBlock, KnowledgeIndex
from knowledge.packing import unpack_vectors
from knowledge.stores.base import StoreFailed

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
AT_ONCE = 1000  # vectors or ids in one call
PATIENCE = httpx2.Timeout(60, connect=3)
# Somebody waits for a deletion, and it is tried again anyway.
FORGETTING = httpx2.Timeout(5, connect=3)


class Chroma:
    label = gettext_lazy("ChromaDB")
    is_elsewhere = True

    def problem(self) -> str:
        if settings.CHROMA_URL:
            return ""
        return _(
            "ChromaDB does not run here: a superuser sets APEX_CHROMA_PROGRAM or APEX_CHROMA_URL. The store that comes "
            "along needs nothing."
        )

    def nearest(self, index: KnowledgeIndex, vector: np.ndarray, most: int) -> list[tuple[int, float]]:
        collection = self.caught_up(KnowledgeIndex.objects.get(pk=index.pk))
        asked = {"query_embeddings": [unit(vector)], "n_results": most, "include": ["distances"]}
        found = ask("POST", f"{COLLECTIONS}/{collection}/query", asked)
        return [
            (int(number), 1 - float(distance))
            for number, distance in zip(found["ids"][0], found["distances"][0], strict=True)
        ]

    def caught_up(self, index: KnowledgeIndex) -> str:
        """The id of its collection, which has then all that the row knew of."""
        collection = self.collection(index.pk)
        state = index.store_state
        if (state.get("pushed", 0), state.get("removals", 0)) == (index.last_number, index.removals):
            return collection
        if state.get("removals", 0) != index.removals:
            self.take_away(index, collection)
        self.push(index, collection)
        state = {"pushed": index.last_number, "removals": index.removals}
        if not KnowledgeIndex.objects.filter(pk=index.pk).update(store_state=state):
            self.forget(index.pk)  # it was deleted meanwhile, perhaps before its collection was made
        return collection

    def collection(self, index_id) -> str:
        wanted = {
            "name": name_of(index_id),
            "get_or_create": True,
            "configuration": {"hnsw": {"space": "cosine"}, "embedding_function": None},
        }
        return ask("POST", COLLECTIONS, wanted)["id"]

    def push(self, index: KnowledgeIndex, collection: str) -> None:
        blocks = IndexBlock.objects.filter(
            index=index,
            first_number__gt=index.store_state.get("pushed", 0),
            first_number__lte=index.last_number,
        ).order_by("first_number")
        for block in blocks.iterator(chunk_size=20):
            vectors = unpack_vectors(bytes(block.vectors), index.dimension).astype("f4")
            for begin in range(0, len(vectors), AT_ONCE):
                some = vectors[begin : begin + AT_ONCE]
                first = block.first_number + begin
                ids = [str(number) for number in range(first, first + len(some))]
                ask("POST", f"{COLLECTIONS}/{collection}/upsert", {"ids": ids, "embeddings": some.tolist()})
            if not IndexBlock.objects.filter(pk=block.pk).exists():  # deleted while it was sent
                self.delete(collection, [str(block.first_number + place) for place in range(block.count)])

    def take_away(self, index: KnowledgeIndex, collection: str) -> None:
        """Whatever the collection has and the rows have not."""
        there: set[str] = set()
        for first, count in IndexBlock.objects.filter(index=index).values_list("first_number", "count"):
            there |= {str(number) for number in range(first, first + count)}
        gone: list[str] = []
        offset = 0
        while True:
            asked = {"include": [], "limit": AT_ONCE * 10, "offset": offset}
            ids = ask("POST", f"{COLLECTIONS}/{collection}/get", asked)["ids"]
            gone += [each for each in ids if each not in there]
            offset += len(ids)
            if len(ids) < AT_ONCE * 10:
                break
        self.delete(collection, gone)

    def delete(self, collection: str, ids: list[str]) -> None:
        for begin in range(0, len(ids), AT_ONCE):
            ask("POST", f"{COLLECTIONS}/{collection}/delete", {"ids": ids[begin : begin + AT_ONCE]})

    def forget(self, index_id) -> None:
        path = f"{COLLECTIONS}/{name_of(index_id)}"
        ask("DELETE", path, missing_is_fine=True, patience=FORGETTING)


def name_of(index_id) -> str:
    return f"apex-{index_id}"


def unit(vector: np.ndarray) -> list[float]:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype("f4").tolist()


def ask(
    method: str,
    path: str,
    body: Any = None,
    *,
    missing_is_fine: bool = False,
    patience: httpx2.Timeout = PATIENCE,
) -> Any:
    """What it answered. Raises StoreFailed with a sentence; its own words go no further than that."""
    url = settings.CHROMA_URL.rstrip("/")
    if not url:
        raise StoreFailed(STORE.problem())
    try:
        answer = client(os.getpid()).request(method, url + path, json=body, timeout=patience)
        if answer.status_code == 404 and missing_is_fine:
            return None
        answer.raise_for_status()
        return answer.json() if answer.content else None
    except httpx2.HTTPStatusError as problem:
        raise StoreFailed(
            _("ChromaDB refused it with status %(status)s: %(words)s.")
            % {"status": problem.response.status_code, "words": problem.response.text[:200]}
        ) from problem
    except (httpx2.HTTPError, ValueError) as problem:
        raise StoreFailed(
            _("ChromaDB at %(url)s does not answer. Start it again; nothing is lost.") % {"url": url}
        ) from problem


@cache
def client(process: int) -> httpx2.Client:
    """Connections are not shared with a parent process. Nothing is taken from the environment: no proxy."""
    return httpx2.Client(timeout=PATIENCE, trust_env=False)


STORE = Chroma()
