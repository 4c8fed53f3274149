"""What a store of vectors promises. The rows (`IndexBlock`) are the truth; a store is caught up from them."""

from typing import Protocol

import numpy as np

from knowledge.models import KnowledgeIndex


class StoreFailed(Exception):
    """The store did not do it; the message is a plain sentence that says why and what to do."""


class VectorStore(Protocol):
    """Every call is about one index, and nothing of another can come back: each has a place of its own."""

    label: str
    is_elsewhere: bool  # it holds what it was given outside of our rows and files, and may be away

    def problem(self) -> str:
        """Why it cannot be chosen here, and what to do; "" if it can."""

    def nearest(self, index: KnowledgeIndex, vector: np.ndarray, most: int) -> list[tuple[int, float]]:
        """Numbers of pieces with their cosine, best first: all that was committed is looked at. Raises StoreFailed."""

    def caught_up(self, index: KnowledgeIndex) -> object:
        """Called behind a commit that added or removed pieces. Work that can wait for `nearest` may be done here."""

    def forget(self, index_id) -> None:
        """Called behind the commit in which an index went: nothing of it stays. Raises StoreFailed."""
