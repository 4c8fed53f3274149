"""Where vectors are searched. To add a store: one module with the promise of `base.VectorStore`, and a line below."""

from knowledge.stores import built_in, chroma
from knowledge.stores.base import StoreFailed, VectorStore

STORES: dict[str, VectorStore] = {
    "built_in": built_in.STORE,
    "chroma": chroma.STORE,
}

__all__ = ["STORES", "StoreFailed", "VectorStore"]
