"""Words of pieces as posting lists, searched by BM25 (Robertson and Zaragoza 2009). Pure: no Django."""

from collections.abc import Sequence

import numpy as np

from knowledge.packing import Words, hashed, words_of

K1, B = 1.2, 0.75
SETTLED_SHARE = 4  # new pieces are sorted in with all others once they are a fourth of them
MOST_ROWS = 2**24  # pieces of one part


class Postings:
    """Pieces that were added lie in `fresh` until `settle` sorts them; then a word's pieces are one slice."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.fresh: list[tuple[int, Words]] = []

    def add(self, first_number: int, words: Words) -> None:
        self.fresh.append((first_number, words))

    def settle(self) -> None:
        if not self.fresh:
            return
        self.parts.append(Part.of(self.fresh))
        self.fresh = []
        # Parts double in size from the last to the first, so there are few, and each is merged seldom.
        while len(self.parts) > 1 and self.parts[-2].count < SETTLED_SHARE * self.parts[-1].count:
            if self.parts[-2].count + self.parts[-1].count > MOST_ROWS:
                break
            last, before = self.parts.pop(), self.parts.pop()
            self.parts.append(before.merged(last))

    def whole(self) -> "Part | None":
        """All that was not removed, as one part; None where that is nothing, or too much for one."""
        self.settle()
        if not self.parts or sum(part.count for part in self.parts) > MOST_ROWS:
            return None
        self.parts = [self.parts[0].merged(*self.parts[1:])]
        return self.parts[0]

    def remove(self, first_number: int, count: int) -> None:
        self.settle()
        for part in self.parts:
            part.remove(first_number, count)

    def best(self, question: str, most: int) -> list[tuple[int, float]]:
        """Numbers of pieces with their BM25, best first; only such with at least one of the words."""
        terms = np.array(sorted({hashed(word) for word in words_of(question)}), "u4")
        alive = sum(part.alive_count for part in self.parts)
        if not len(terms) or not alive:
            return []
        mean = max(1.0, sum(part.total_length for part in self.parts) / alive)
        slices = [part.slices(terms) for part in self.parts]
        holders = sum(
            part.holders(begins, ends) for part, (begins, ends) in zip(self.parts, slices, strict=True)
        )
        weights = np.log(1 + (alive - holders + 0.5) / (holders + 0.5)).clip(0)
        found: list[tuple[int, float]] = []
        for part, (begins, ends) in zip(self.parts, slices, strict=True):
            found += part.best(begins, ends, weights, mean, most)
        return sorted(found, key=lambda each: (-each[1], each[0]))[:most]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def entry(terms: np.ndarray, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """A word, a piece and how often it is there as one number, which sorts by word and then by piece."""
    return (terms.astype("u8") << np.uint64(32)) | (rows.astype("u8") << np.uint64(8)) | counts


class Part:
    """Posting lists of some pieces: entries sorted by word; `terms[i]`'s entries are `starts[i]` to `starts[i+1]`.

    At most MOST_ROWS pieces. Arrays are never written into once they are made, but for `alive`.
    """

    def __init__(self, numbers, lengths, rows, counts, terms, starts) -> None:
        self.numbers, self.lengths = numbers, lengths
        self.rows, self.counts, self.terms, self.starts = rows, counts, terms, starts
        self.alive = np.ones(len(numbers), bool)

    @classmethod
    def sorted(cls, numbers, lengths, entries: np.ndarray) -> "Part":
        """`entries` as of `entry`, in any order; they are sorted in place: one number each, which is quick."""
        entries.sort()
        terms = (entries >> np.uint64(32)).astype("u4")
        begins = np.flatnonzero(np.r_[True, terms[1:] != terms[:-1]]) if len(terms) else np.zeros(0, "i8")
        rows = ((entries >> np.uint64(8)) & np.uint64(MOST_ROWS - 1)).astype("u4")
        starts = np.append(begins, len(entries)).astype("i8")
        return cls(
            numbers.astype("i8"), lengths.astype("f4"), rows, entries.astype("u1"), terms[begins], starts
        )

    @classmethod
    def of(cls, blocks: Sequence[tuple[int, Words]]) -> "Part":
        begins = np.cumsum([0, *(len(words.lengths) for _first, words in blocks)])
        return cls.sorted(
            np.concatenate([np.arange(first, first + len(words.lengths)) for first, words in blocks]),
            np.concatenate([words.lengths for _first, words in blocks]),
            np.concatenate(
                [
                    entry(words.terms, words.rows + np.uint32(begin), words.counts)
                    for (_first, words), begin in zip(blocks, begins, strict=False)
                ]
            ),
        )

    def merged(self, *others: "Part") -> "Part":
        """All in one, without the pieces that were removed."""
        if not others and self.alive.all():
            return self
        numbers, lengths, entries = [], [], []
        begin = 0
        for part in (self, *others):
            place = (np.cumsum(part.alive) - 1 + begin).astype("u4")
            kept = part.alive[part.rows]
            numbers.append(part.numbers[part.alive])
            lengths.append(part.lengths[part.alive])
            terms = np.repeat(part.terms, np.diff(part.starts))[kept]
            entries.append(entry(terms, place[part.rows[kept]], part.counts[kept]))
            begin += int(part.alive.sum())
        return Part.sorted(np.concatenate(numbers), np.concatenate(lengths), np.concatenate(entries))

    def remove(self, first_number: int, count: int) -> None:
        self.alive &= (self.numbers < first_number) | (self.numbers >= first_number + count)

    @property
    def count(self) -> int:
        return len(self.numbers)

    @property
    def alive_count(self) -> int:
        return int(self.alive.sum())

    @property
    def total_length(self) -> float:
        return float(self.lengths[self.alive].sum())

    def slices(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Begin and end of each term's entries; equal where the term is not here."""
        places = np.searchsorted(self.terms, terms).clip(0, max(0, len(self.terms) - 1))
        is_here = self.terms[places] == terms if len(self.terms) else np.zeros(len(terms), bool)
        begins = np.where(is_here, self.starts[places], 0)
        return begins, np.where(is_here, self.starts[np.minimum(places + 1, len(self.starts) - 1)], begins)

    def holders(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """How many pieces that were not removed have each word."""
        if self.alive.all():
            return ends - begins
        return np.array(
            [np.count_nonzero(self.alive[self.rows[b:e]]) for b, e in zip(begins, ends, strict=True)], "i8"
        )

    def best(self, begins, ends, weights, mean: float, most: int) -> list[tuple[int, float]]:
        scores = np.zeros(len(self.numbers), "f4")
        for begin, end, weight in zip(begins, ends, weights, strict=True):
            rows, counts = self.rows[begin:end], self.counts[begin:end].astype("f4")
            norm = K1 * (1 - B + B * self.lengths[rows] / mean)
            scores[rows] += weight * counts * (K1 + 1) / (counts + norm)
        scores[~self.alive] = 0
        most = min(most, len(scores))
        top = np.argpartition(scores, -most)[-most:] if most else []
        return [(int(self.numbers[row]), float(scores[row])) for row in top if scores[row] > 0]

    def arrays(self) -> dict[str, np.ndarray]:
        """What `Part` is made of, by name."""
        return {
            "numbers": self.numbers, "lengths": self.lengths, "rows": self.rows, "counts": self.counts,
            "terms": self.terms, "starts": self.starts,
        }  # fmt: skip

    @property
    def bytes(self) -> int:
        return sum(each.nbytes for each in self.arrays().values())
