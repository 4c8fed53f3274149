"""Rows that are nearly the same, by MinHash: word for word but for a few words.

Two texts are as similar as the share of runs of three words that they have in common (Jaccard). PERMUTATIONS
minima estimate it with a deviation of 0.035; rows that agree in all minima of one of the BANDS are compared, which
passes over 2 of 1,000 pairs with a similarity of 0.8 and fewer above (A. Broder, 1997). Estimates count from
MARGIN below the threshold on, so that a pair above it is rarely missed.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xxhash
from rensa import RMinHash

from datasets_app.faults import WARNING, Fault
from datasets_app.scanning import library
from datasets_app.scanning.library import PERMUTATIONS

from .texts import texts_of

THRESHOLD = 0.8
MARGIN = 0.05
# Memory: 4 bytes a row and permutation.
ROWS_MOST = 200_000
BANDS, BAND = 21, 6
SEED = 1
EARLIER_MOST = 100  # rows of one group that one is compared with
BATCH = 512  # rows whose words are hashed at once
# What is compared: a system text that all rows share would make all of them similar.
ROLES = frozenset({"user", "assistant", "tool"})
# Text without spaces (Chinese, Japanese, Thai) is taken as words of three characters that overlap.
CHARACTERS_A_WORD_MOST = 15
# Odd numbers that spread the words of a run over 64 bits.
SPREAD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))


class _Words(dict[str, int]):
    """Word → its hash, worked out once a word. Let go when it grows beyond MOST."""

    MOST = 200_000

    def __missing__(self, word: str) -> int:
        if len(self) >= self.MOST:
            self.clear()
        found = self[word] = _hash(word)
        return found


class Signatures:
    """Rows as signatures, the first ROWS_MOST of them; `seen` counts all."""

    def __init__(self, rows_most: int = ROWS_MOST) -> None:
        self.rows_most = rows_most
        self.seen = 0
        self._words = _Words()
        self._pending: list[list[str]] = []  # the words of each row
        self._matrices: list[np.ndarray] = []
        self._scanner = library.load()

    @property
    def is_partial(self) -> bool:
        return self.seen > self.rows_most

    def add(self, said: str) -> None:
        """Takes in what a row says, by `said_in`."""
        self.seen += 1
        if self.is_partial:
            return
        text = said.lower()
        if self._scanner is not None:
            self._sign_at_once(text)
            return
        self._pending.append(words_of(text))
        if len(self._pending) == BATCH:
            self._sign()

    def _sign_at_once(self, text: str) -> None:
        """The same by the compiled scanner, several times as fast."""
        number = (self.seen - 1) % BATCH
        if number == 0:
            self._matrices.append(np.empty((BATCH, PERMUTATIONS), np.uint32))
        if (text.count(" ") + text.count("\n")) * CHARACTERS_A_WORD_MOST < len(text):
            text = " ".join(words_of(text))
        self._scanner.sign(text.encode("utf-8", "surrogatepass"), self._matrices[-1][number])

    def _sign(self) -> None:
        """Turns the pending words into signatures, all rows at once."""
        if not self._pending:
            return
        counts = np.array([len(words) for words in self._pending])
        ends = np.cumsum(counts)
        words = itertools.chain.from_iterable(self._pending)
        hashes = np.fromiter(map(self._words.__getitem__, words), np.uint64, int(ends[-1]))
        runs = hashes[:-2] * SPREAD[0]
        for offset in (1, 2):
            runs = (runs ^ (runs >> np.uint64(29))) * SPREAD[offset] + hashes[offset : offset + runs.size]
        # A run does not reach from one row into the next.
        is_whole = np.ones(hashes.size, bool)
        is_whole[ends - 1] = is_whole[ends - 2] = False
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            runs[is_whole[:-2]],
            np.concatenate([[0], np.cumsum(counts - 2)]).astype(np.uint64),
            PERMUTATIONS,
            SEED,
        )
        self._matrices.append(np.array(matrix.to_rows(), np.uint32))
        self._pending = []

    def groups(self, threshold: float = THRESHOLD) -> list[list[int]]:
        """Groups of rows (numbers from 0, in order) that are at least so similar to another one of the group."""
        self._sign()
        if not self._matrices:
            return []
        signatures = np.concatenate(self._matrices)[: min(self.seen, self.rows_most)]
        self._matrices = [signatures]
        parents = list(range(len(signatures)))
        for one, other in _similar(signatures, threshold):
            _join(parents, one, other)
        members: dict[int, list[int]] = {}
        for number in range(len(parents)):
            members.setdefault(_root(parents, number), []).append(number)
        return [group for group in members.values() if len(group) > 1]


def said_in(row: dict[str, Any]) -> str:
    """What is compared of a row."""
    return "\n".join(texts_of(row, ROLES))


def words_of(text: str) -> list[str]:
    """The words of a text, at least three."""
    words = text.split()
    if len(words) * CHARACTERS_A_WORD_MOST < len(text):
        text = "".join(words)
        words = [text[at : at + 3] for at in range(max(1, len(text) - 2))]
    return words if len(words) > 2 else [*words, "", "", ""][:3]


def _similar(signatures: np.ndarray, threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs that share a band and are similar: each row with the first of its band and with the one before it."""
    for band in range(BANDS):
        part = np.ascontiguousarray(signatures[:, band * BAND : (band + 1) * BAND])
        keys = np.zeros(len(part), np.uint64)
        for column in range(BAND):
            keys = (keys ^ part[:, column]) * SPREAD[column % len(SPREAD)]
            keys ^= keys >> np.uint64(31)
        order = np.argsort(keys)
        is_same = keys[order][1:] == keys[order][:-1]
        starts = np.flatnonzero(np.concatenate([[True], ~is_same]))
        group = np.cumsum(np.concatenate([[True], ~is_same])) - 1
        at = np.flatnonzero(is_same) + 1
        others = order[at]
        for partners in (order[starts[group[at]]], order[at - 1]):
            for begin in range(0, len(at), 8192):  # 4 MB of comparisons at a time
                one, other = others[begin : begin + 8192], partners[begin : begin + 8192]
                alike = (signatures[one] == signatures[other]).mean(axis=1) >= threshold - MARGIN
                yield from zip(one[alike].tolist(), other[alike].tolist(), strict=True)


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


def _join(parents: list[int], one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    parents[max(one, other)] = min(one, other)


def find_near_duplicates(rows: Iterable[dict[str, Any]], threshold: float = THRESHOLD) -> list[list[int]]:
    """Groups of positions (from 0, in order) of rows that are nearly the same; looks at the first ROWS_MOST rows.

    `threshold` is the least similarity, between 0 and 1. Equal rows are nearly the same, too.
    """
    signatures = Signatures()
    for row in rows:
        signatures.add(said_in(row))
        if signatures.is_partial:
            break
    return signatures.groups(threshold)


class NearDuplicates:
    """The check: a warning for each row that nearly repeats another. As it reads every word, it runs by itself for
    files up to `checking.NEAR_BYTES_MOST`, for larger ones on request.

    Turns of one conversation repeat each other by right, and rows that are the same are told by `Duplicates`.
    """

    def __init__(self, threshold: float = THRESHOLD, rows_most: int = ROWS_MOST) -> None:
        self.threshold = threshold
        self.count = 0
        self._signatures = Signatures(rows_most)
        # Of each row: its line, its conversation, and a hash of what it says.
        self._seen: list[tuple[int, int, int]] = []

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        said = said_in(row)
        self._signatures.add(said)
        if not self._signatures.is_partial:
            conversation = row.get("conversation") or f"of line {row['line']} alone"
            self._seen.append((row["line"], _hash(conversation), _hash(said)))
        yield from ()

    def finish(self) -> Iterator[Fault]:
        for group in self._signatures.groups(self.threshold):
            for place, number in enumerate(group):
                line = self._line_before(number, group[:place])
                if line is None:
                    continue
                self.count += 1
                yield Fault(
                    self._seen[number][0],
                    f"It is nearly the same as line {line:,}.",
                    "Keep the better one of the two; what is there twice is learned twice.",
                    WARNING,
                    "",
                    "near_duplicate",
                )

    def _line_before(self, number: int, earlier: list[int]) -> int | None:
        """The line of the first of these rows that is of another conversation and not quite the same."""
        _, conversation, said = self._seen[number]
        for line, other, words in (self._seen[each] for each in earlier[:EARLIER_MOST]):
            if words == said:
                return None
            if other != conversation:
                return line
        return None

    def summary(self) -> dict[str, Any]:
        looked_at = min(self._signatures.seen, self._signatures.rows_most)
        return {"near_duplicates": {"rows": self.count, "looked_at": looked_at, "of": self._signatures.seen}}
