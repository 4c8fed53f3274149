"""Which conversations are kept aside as a test. Whole conversations only: a later turn repeats the earlier ones."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

TRAIN, HELD_OUT = "train", "held_out"
HELD_OUT_SHARE = 0.12
# With fewer conversations each one is worth more as an example than as a test.
MINIMUM_TO_SPLIT = 5


@dataclass(slots=True)
class Conversation:
    """How many rows a conversation has, and the split its rows ask for (None: the file does not say)."""

    rows: int = 0
    wanted: str | None = None

    def add(self, wanted: str | None) -> None:
        """Counts one row. Rows that disagree are all kept aside: what is tested must not have been learned."""
        self.rows += 1
        if self.wanted != HELD_OUT and wanted is not None:
            self.wanted = wanted


def choose_held_out(conversations: Mapping[str, Conversation], seed: str) -> set[str]:
    """Keys of the conversations to keep aside; the same for the same file, whatever the order of its rows.

    A file that names held-out rows has decided itself: the rest is learned from. Else about
    HELD_OUT_SHARE of the rows, at least one conversation when there are MINIMUM_TO_SPLIT or more, drawn by
    hash of `seed` (the hash of the file) and key; conversations marked "train" are never drawn.
    """
    named = {key for key, one in conversations.items() if one.wanted == HELD_OUT}
    if named or len(conversations) < MINIMUM_TO_SPLIT:
        return named
    free = [key for key, one in conversations.items() if one.wanted is None]
    free.sort(key=lambda key: hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest())
    goal = HELD_OUT_SHARE * sum(one.rows for one in conversations.values())
    # Never so much of it that little is left to learn: one giant conversation stays on the side of learning.
    limit = max(2 * goal, min((conversations[key].rows for key in free), default=0))
    chosen: set[str] = set()
    rows = 0
    for key in free:
        if rows + conversations[key].rows > limit:
            continue
        chosen.add(key)
        rows += conversations[key].rows
        if rows >= goal:
            break
    return chosen
