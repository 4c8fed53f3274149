"""Pieces of one document into one index: cut, made vectors of, and kept in one transaction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from django.db.models import F

from knowledge import leases
from knowledge.chunking import Piece, pieces
from knowledge.embeddings import embedding_of
from knowledge.embeddings.base import checked
from knowledge.models import Chunk, Document, IndexBlock, KnowledgeIndex
from knowledge.packing import pack_vectors, pack_words
from knowledge.parsing import Parsed

EMBEDDED_AT_ONCE = 32  # pieces; after each the row is told how far it is
BLOCK = 1000  # pieces


@dataclass(frozen=True)
class Prepared:
    """All of a document that an index needs, in memory: `vectors` is (len(pieces), dimension)."""

    pieces: list[Piece]
    vectors: np.ndarray
    model: str


def prepare(index: KnowledgeIndex, parsed: Parsed, tell: Callable[[float], None]) -> Prepared:
    """Cuts and makes vectors. `tell` gets the share that is done, and may raise to stop. Raises EmbeddingFailed."""
    embedding = embedding_of(index)
    found = list(pieces(parsed, index.chunk_size, index.chunk_overlap))
    rows = []
    for begin in range(0, len(found), EMBEDDED_AT_ONCE):
        tell(begin / len(found))
        batch = found[begin : begin + EMBEDDED_AT_ONCE]
        rows.append(checked(embedding.passages([piece.searched for piece in batch]), index.dimension))
    vectors = np.vstack(rows) if rows else np.zeros((0, 0), "f4")
    return Prepared(found, vectors, embedding.model)


def keep(index_id, document: Document, prepared: Prepared) -> KnowledgeIndex | None:
    """Writes the pieces, inside a transaction of the caller's. None if the index is gone or is made otherwise by now.

    Nothing is written twice: what the index had of this document goes first.
    """
    index = leases.lock_index(index_id)
    dimension = prepared.vectors.shape[1]
    if index is None or (index.dimension and dimension and index.dimension != dimension):
        return None
    remove_pieces(index.pk, document)
    first = leases.take_numbers(
        index, len(prepared.pieces), model=prepared.model, dimension=dimension or index.dimension
    )
    Chunk.objects.bulk_create(rows_of(index, document, prepared, first), batch_size=500)
    IndexBlock.objects.bulk_create(blocks_of(index, document, prepared, first), batch_size=20)
    index.refresh_from_db()
    return index


def rows_of(index, document: Document, prepared: Prepared, first: int) -> Iterator[Chunk]:
    for ordinal, piece in enumerate(prepared.pieces):
        yield Chunk(
            owner_id=document.owner_id, index=index, document=document, number=first + ordinal, ordinal=ordinal,
            text=piece.text, start=piece.start, end=piece.end, page=piece.place, heading=piece.heading,
        )  # fmt: skip


def blocks_of(index, document: Document, prepared: Prepared, first: int) -> Iterator[IndexBlock]:
    for begin in range(0, len(prepared.pieces), BLOCK):
        some = prepared.pieces[begin : begin + BLOCK]
        vectors = prepared.vectors[begin : begin + BLOCK]
        yield IndexBlock(
            index=index, document=document, first_number=first + begin, count=len(some),
            vectors=pack_vectors(vectors) if vectors.shape[1] else b"",
            words=pack_words([piece.searched for piece in some]),
        )  # fmt: skip


def remove_pieces(index_id, document: Document) -> int:
    """Takes a document's pieces out of an index; how many there were. Copies see it by `removals`."""
    count = Chunk.objects.filter(index=index_id, document=document).delete()[0]
    IndexBlock.objects.filter(index=index_id, document=document).delete()
    if count:
        KnowledgeIndex.objects.filter(pk=index_id).update(
            removals=F("removals") + 1, chunk_count=F("chunk_count") - count
        )
    return count
