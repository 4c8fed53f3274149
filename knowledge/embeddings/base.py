"""What a way to make vectors promises."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from django.utils.translation import gettext as _

from ledger.lines import Line
from ledger.money import Amount

# Takes what vectors took, and books it; whoever gives one has held what that could be.
Booking = Callable[[Line], None]


class EmbeddingFailed(Exception):
    """No vectors came; the message is a plain sentence that says why and what to do.

    `is_passing` where trying again later may help.
    """

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class WrongVectors(EmbeddingFailed):
    """Vectors of another model, or with another number of places, than those of the index."""

    def __init__(self, wanted: object, found: object) -> None:
        super().__init__(
            _(
                "This knowledge base holds vectors of %(wanted)s, and %(found)s was asked for: they cannot be "
                "compared. Make its index anew with the other one."
            )
            % {"wanted": wanted, "found": found}
        )


class Embedding(Protocol):
    """`model` names what makes the vectors, so that it can be kept with them; "" where there are none."""

    label: str
    model: str

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        """A vector a text, (n, dimension) floats; (n, 0) where words are all there is. Raises EmbeddingFailed."""

    def question(self, text: str, book: Booking | None = None) -> np.ndarray:
        """One vector, (dimension,); (0,) where words are all there is. Raises EmbeddingFailed.

        What it takes is held and booked here, or with `book` by whoever gave it.
        """

    def most_of(self, text: str) -> Amount:
        """What a question could take."""


def checked(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """The same vectors, if an index with `dimension` (0: any) can hold them. Raises EmbeddingFailed."""
    if dimension and vectors.shape[1] != dimension:
        raise WrongVectors(
            _("%(count)s numbers each") % {"count": dimension}, _("%(count)s") % {"count": vectors.shape[1]}
        )
    if not np.isfinite(vectors).all():
        raise EmbeddingFailed(_("The vectors that came hold something that is no number."))
    return vectors
