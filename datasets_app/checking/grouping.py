"""Rows as records of digests, and which of them are the same or ask the same."""

import numpy as np

from .digests import CHECK_BITS, CHECK_MASK

# `check`: CHECK_BITS more bits of what is asked, above them the split (0: none, 1: train, 2: held out).
RECORD = np.dtype([("asked", "u8"), ("row", "u8"), ("check", "u4"), ("line", "u4")])
TRAIN, HELD_OUT = 1, 2


def _shared(keys: np.ndarray) -> np.ndarray:
    """The places of keys that are there more than once. Sorting the keys alone is all that most files need."""
    ordered = np.sort(keys)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.flatnonzero(np.isin(keys, np.unique(twice))) if twice.size else np.empty(0, np.int64)


def asked_twice(rows: np.ndarray) -> np.ndarray:
    """The rows that ask what another one asks; of most files, hardly any."""
    return rows[_shared(rows["asked"])]


def _ordered(rows: np.ndarray, places: np.ndarray, *keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places in order of `keys` and line, whether a new group of equal keys begins there)."""
    chosen = [key[places] for key in keys]
    order = np.lexsort([rows["line"][places], *reversed(chosen)])
    is_new = np.ones(places.size, bool)
    is_new[1:] = np.logical_or.reduce([key[order][1:] != key[order][:-1] for key in chosen])
    return places[order], is_new


def repeated(rows: np.ndarray, *, by_split: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(places of rows that are the same as an earlier one, line of the first such row); with `by_split` only of
    those on the same side of the split."""
    places = _shared(rows["asked"])
    if not places.size:
        return places, np.empty(0, np.uint32)
    check = rows["check"] if by_split else rows["check"] & CHECK_MASK
    places, is_new = _ordered(rows, places, rows["asked"], check, rows["row"])
    firsts = rows["line"][places[is_new]][np.cumsum(is_new) - 1]
    return places[~is_new], firsts[~is_new]


class _Questions:
    """Rows that ask the same as another one, ordered by question and line."""

    def __init__(self, rows: np.ndarray) -> None:
        shared = _shared(rows["asked"])
        self.places, is_new = _ordered(rows, shared, rows["asked"], rows["check"] & CHECK_MASK)
        self.rows = rows[self.places]
        self.group = np.cumsum(is_new) - 1
        self.starts = np.flatnonzero(is_new)

    def first_where(self, chosen: np.ndarray) -> np.ndarray:
        """Where the first chosen row of each question is, for questions that have one."""
        at = np.flatnonzero(chosen)
        _, first = np.unique(self.group[at], return_index=True)
        return at[first]

    def differing(self) -> np.ndarray:
        """Where the first row of each question is that differs from its very first one."""
        return self.first_where(self.rows["row"] != self.rows["row"][self.starts][self.group])

    def on_side(self, side: int) -> np.ndarray:
        return self.first_where(self.rows["check"] >> CHECK_BITS == side)


def contradictions(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each question with different answers: (first line that differs, first line)."""
    questions = _Questions(rows)
    at = questions.differing()
    lines = questions.rows["line"]
    return lines[at], lines[questions.starts[questions.group[at]]]


def overlaps(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each question on both sides: (first line that is held out, first line that is learned from)."""
    questions = _Questions(rows)
    learned, held_out = questions.on_side(TRAIN), questions.on_side(HELD_OUT)
    _, in_learned, in_held_out = np.intersect1d(
        questions.group[learned], questions.group[held_out], assume_unique=True, return_indices=True
    )
    lines = questions.rows["line"]
    return lines[held_out[in_held_out]], lines[learned[in_learned]]


def telling(rows: np.ndarray) -> np.ndarray:
    """As few of the rows as give the same `contradictions` and `overlaps`, also together with others."""
    questions = _Questions(rows)
    told = [questions.starts, questions.differing(), questions.on_side(TRAIN), questions.on_side(HELD_OUT)]
    alone = np.ones(rows.size, bool)
    alone[questions.places] = False
    return np.concatenate([rows[alone], questions.rows[np.unique(np.concatenate(told))]])
