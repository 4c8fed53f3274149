"""A split for rows that are not kept: decided at the first reading, found again at every later one, in flat memory.

Conversations fall into BUCKETS by a hash of their key; whole buckets are kept aside. So a conversation stays on its
side of the split, in later versions of the same data too. No Django inside.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .splitting import HELD_OUT, HELD_OUT_SHARE, MINIMUM_TO_SPLIT, TRAIN

BUCKETS = 1024
DISTINCT_MOST = 2_000_000  # hashes of 8 bytes; beyond them the number of conversations is estimated
MIXED_MOST = 2000


class SplitRefused(Exception):
    """The rows name splits in a way that cannot be kept; `str()` says which."""


def hash_of(key: str) -> int:
    """64 bits of a conversation's key."""
    return int.from_bytes(
        hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


class Distinct:
    """How many different hashes were seen: exactly up to DISTINCT_MOST, beyond it from the smallest ones."""

    def __init__(self) -> None:
        self._kept = np.empty(0, np.uint64)
        self._new: list[int] = []
        self.is_exact = True

    def add(self, value: int) -> None:
        self._new.append(value)
        if len(self._new) >= 200_000:
            self._settle()

    def _settle(self) -> None:
        self._kept = np.union1d(self._kept, np.array(self._new, np.uint64))
        self._new = []
        if len(self._kept) > DISTINCT_MOST:
            self._kept, self.is_exact = self._kept[:DISTINCT_MOST], False

    def hashes(self) -> np.ndarray:
        if self._new:
            self._settle()
        return self._kept

    def count(self) -> int:
        kept = self.hashes()
        if self.is_exact:
            return len(kept)
        return round((len(kept) - 1) / (float(kept[-1]) / 2.0**64))


class StreamedSplit:
    """Sees every row once (`add`), then says how many are on which side and how to find them again (`rule`)."""

    def __init__(self) -> None:
        self.row_count = 0
        self.free_rows = [0] * BUCKETS
        self.named_rows = {TRAIN: 0, HELD_OUT: 0}
        self.free, self.named = Distinct(), {TRAIN: Distinct(), HELD_OUT: Distinct()}
        self.everything = Distinct()

    def add(self, conversation: str, wanted: str | None) -> None:
        hashed = hash_of(conversation)
        self.row_count += 1
        self.everything.add(hashed)
        if wanted is None:
            self.free_rows[hashed % BUCKETS] += 1
            self.free.add(hashed)
        else:
            self.named_rows[wanted] += 1
            self.named[wanted].add(hashed)

    def rule(self) -> "SplitRule":
        """Raises SplitRefused when too many conversations stand on both sides."""
        held_out = self.named[HELD_OUT]
        if self.named_rows[HELD_OUT]:
            # A file that names what is kept aside has decided itself: the rest is learned from.
            others = np.union1d(self.named[TRAIN].hashes(), self.free.hashes())
            return SplitRule(True, frozenset(), self._both(held_out.hashes(), others))
        mixed = self._both(self.named[TRAIN].hashes(), self.free.hashes())
        return SplitRule(False, frozenset(self._buckets()), mixed)

    def _both(self, one: np.ndarray, other: np.ndarray) -> frozenset[int]:
        found = np.intersect1d(one, other)
        if len(found) > MIXED_MOST:
            raise SplitRefused(
                f"{len(found):,} conversations have rows on both sides of the split. Give all rows of a "
                "conversation the same split, or leave it out."
            )
        return frozenset(int(value) for value in found)

    def _buckets(self) -> list[int]:
        """Buckets to keep aside: about HELD_OUT_SHARE of the rows, as `splitting.choose_held_out` does."""
        if self.everything.count() < MINIMUM_TO_SPLIT:
            return []
        goal = HELD_OUT_SHARE * self.row_count
        limit = max(2 * goal, min((rows for rows in self.free_rows if rows), default=0))
        chosen, rows = [], 0
        for bucket, count in enumerate(self.free_rows):
            if not count or rows + count > limit:
                continue
            chosen.append(bucket)
            rows += count
            if rows >= goal:
                break
        return chosen

    def held_out_conversations(self, rule: "SplitRule") -> int:
        if rule.is_named:
            return self.named[HELD_OUT].count()
        sides = np.isin(self.free.hashes() % np.uint64(BUCKETS), np.array(sorted(rule.buckets), np.uint64))
        share = float(sides.mean()) if len(sides) else 0.0
        return round(share * self.free.count()) - sum(value % BUCKETS in rule.buckets for value in rule.mixed)

    def held_out_rows(self, rule: "SplitRule") -> int | None:
        """Rows that are kept aside; None when only another reading can count them."""
        if rule.mixed:
            return None
        if rule.is_named:
            return self.named_rows[HELD_OUT]
        return sum(self.free_rows[bucket] for bucket in rule.buckets)


class SplitRule:
    """On which side a row is. `mixed` are hashes of conversations whose rows disagree; all their rows go together."""

    def __init__(self, is_named: bool, buckets: frozenset[int], mixed: frozenset[int]) -> None:
        self.is_named, self.buckets, self.mixed = is_named, buckets, mixed

    def side(self, conversation: str, wanted: str | None) -> str:
        if self.is_named:
            if wanted == HELD_OUT or (self.mixed and hash_of(conversation) in self.mixed):
                return HELD_OUT
            return TRAIN
        if wanted == TRAIN:
            return TRAIN
        hashed = hash_of(conversation)
        return HELD_OUT if hashed % BUCKETS in self.buckets and hashed not in self.mixed else TRAIN

    def as_dict(self) -> dict[str, Any]:
        """For JSON: a bit a bucket, in hexadecimal."""
        bits = sum(1 << bucket for bucket in self.buckets)
        return {
            "rule": "named" if self.is_named else "hash",
            "buckets": f"{bits:x}",
            "mixed": [f"{value:x}" for value in sorted(self.mixed)],
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "SplitRule":
        bits = int(found["buckets"], 16)
        return cls(
            found["rule"] == "named",
            frozenset(bucket for bucket in range(BUCKETS) if bits >> bucket & 1),
            frozenset(int(value, 16) for value in found["mixed"]),
        )
