"""What makes vectors of texts. To add a way: one module with the promise of `base.Embedding`, and a line below."""

from knowledge.embeddings import minilm, provided, words_only
from knowledge.embeddings.base import Embedding, EmbeddingFailed, WrongVectors
from knowledge.models import KnowledgeIndex

EMBEDDINGS = {
    "minilm": minilm.MiniLM,
    "provider": provided.Provided,
    "words": words_only.WordsOnly,
}

__all__ = ["EMBEDDINGS", "Embedding", "EmbeddingFailed", "WrongVectors", "default_name", "embedding_of"]


def default_name() -> str:
    """Meanings where the model is installed, else words."""
    return "minilm" if minilm.is_installed() else "words"


def embedding_of(index: KnowledgeIndex) -> Embedding:
    """What made, or will make, the vectors of an index. Raises EmbeddingFailed if that cannot be done here."""
    kind = EMBEDDINGS.get(index.embedding)
    if kind is None:
        raise EmbeddingFailed(f"{index.embedding!r} is no embedding that is known here.")
    embedding = kind(index)
    if index.model and embedding.model != index.model:
        raise WrongVectors(index.model, embedding.model)
    return embedding
