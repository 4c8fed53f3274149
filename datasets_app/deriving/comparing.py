"""How two versions differ: rows that only one of them has, rows that changed, rows on the other side of the split."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .fingerprints import Fingerprints

WORDS_COMPARED = 3000
TURNS_COMPARED = 200
# A word with the space behind it, so that changed words side by side read as one.
PIECES = re.compile(r"\s+|\w+\s*|[^\w\s]\s*")


@dataclass(frozen=True)
class Comparison:
    """Numbers of rows, from 0. `changed` and `moved` are pairs (in the first, in the second).

    A row changed if it came from the same row, or has the same place in the same conversation, but says something
    else; it moved if it is on the other side of the split, changed or not. `same` counts rows that are equal.
    """

    only_first: np.ndarray
    only_second: np.ndarray
    changed: np.ndarray
    moved: np.ndarray
    same: int


def compare(first: Fingerprints, second: Fingerprints) -> Comparison:
    """Memory: some 100 bytes a row of both."""
    one, two = first.entries, second.entries
    left, right = np.arange(len(one)), np.arange(len(two))
    # 1. The same content, each as often as it is there.
    same = _pairs(left, right, one["content"], two["content"])
    # 2. Of the others, those from the same row of the same version.
    left, right = _without(left, same[:, 0]), _without(right, same[:, 1])
    by_origin = _pairs(left, right, _origins(one), _origins(two))
    # 3. Of the others, those in the same place of the same conversation.
    left, right = _without(left, by_origin[:, 0]), _without(right, by_origin[:, 1])
    by_place = _pairs(left, right, one["place"], two["place"])
    left, right = _without(left, by_place[:, 0]), _without(right, by_place[:, 1])
    changed = _ordered(np.concatenate([by_origin, by_place]))
    both = np.concatenate([same, changed])
    moved = both[one["held_out"][both[:, 0]] != two["held_out"][both[:, 1]]]
    return Comparison(left, right, changed, _ordered(moved), len(same))


def _origins(entries: np.ndarray) -> np.ndarray:
    """One number for version and row; products of odd numbers spread over 64 bits."""
    with np.errstate(over="ignore"):
        return entries["root"] ^ (
            (entries["row"].astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        )


def _pairs(left: np.ndarray, right: np.ndarray, ones: np.ndarray, twos: np.ndarray) -> np.ndarray:
    """Pairs of numbers with equal keys: the first with the first, the second with the second, and so on."""
    left_order, left_keys = _numbered(left, ones)
    right_order, right_keys = _numbered(right, twos)
    at = np.searchsorted(right_keys, left_keys)
    inside = at < len(right_keys)
    is_equal = np.zeros(len(left_keys), bool)
    is_equal[inside] = right_keys[at[inside]] == left_keys[inside]
    pairs = np.stack([left_order[is_equal], right_order[at[is_equal]]], axis=1)
    return _ordered(pairs)


def _numbered(numbers: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(numbers ordered by key, keys made unlike by how often they came before), both ordered by the latter."""
    found = keys[numbers]
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    before = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    with np.errstate(over="ignore"):
        unlike = ordered + before.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    again = np.argsort(unlike, kind="stable")
    return numbers[order][again], unlike[again]


def _without(numbers: np.ndarray, gone: np.ndarray) -> np.ndarray:
    return numbers[~np.isin(numbers, gone)]


def _ordered(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def word_changes(before: str, after: str, most: int = WORDS_COMPARED) -> Iterator[tuple[str, str]]:
    """("same" | "gone" | "new", text) in reading order. Of texts with more than `most` words between their common
    beginning and end, that is taken as one piece."""
    one, two = PIECES.findall(before), PIECES.findall(after)
    head = _shared(one, two)
    tail = _shared(one[head:][::-1], two[head:][::-1])
    yield from _piece("same", one[:head])
    middle_one, middle_two = one[head : len(one) - tail], two[head : len(two) - tail]
    if max(len(middle_one), len(middle_two)) > most:
        yield from _piece("gone", middle_one)
        yield from _piece("new", middle_two)
    else:
        matcher = difflib.SequenceMatcher(None, middle_one, middle_two, autojunk=False)
        for kind, a, b, c, d in matcher.get_opcodes():
            if kind == "equal":
                yield from _piece("same", middle_one[a:b])
            else:
                yield from _piece("gone", middle_one[a:b])
                yield from _piece("new", middle_two[c:d])
    yield from _piece("same", one[len(one) - tail :] if tail else [])


def _shared(one: list[str], two: list[str]) -> int:
    """How many pieces at the beginning are the same."""
    count = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        count += 1
    return count


def _piece(kind: str, words: list[str]) -> Iterator[tuple[str, str]]:
    if words:
        yield kind, "".join(words)


def turns_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """(who, text) of all that a row says; of a preference, who names the side too."""
    if "text" in row:
        return [("text", row["text"])]
    turns = []
    for name in ("messages", "prompt", "chosen", "rejected", "completion"):
        for message in row.get(name) or ():
            role = message["role"] if name in ("messages", "prompt") else f"{name}: {message['role']}"
            turns.append((role, message.get("content") or ""))
    return turns


def turn_changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """What changed, turn by turn: `{"role", "state": "same"|"changed"|"gone"|"new", "pieces": [(kind, text)]}`."""
    one, two = turns_of(before), turns_of(after)
    found = []
    steps = turn_steps(one, two)
    changed = sum(min(b - a, d - c) for kind, a, b, c, d in steps if kind == "replace")
    # Comparing takes time with the square of the words, so many turns share what one may take.
    most = int(WORDS_COMPARED / max(1, changed) ** 0.5)
    for kind, a, b, c, d in steps:
        if kind == "equal":
            found += [_turn(role, "same", [("same", text)]) for role, text in one[a:b]]
            continue
        for (role, old), (other, new) in zip(one[a:b], two[c:d], strict=False):
            if (role, old) == (other, new):
                found.append(_turn(role, "same", [("same", old)]))
                continue
            name = role if role == other else f"{role} → {other}"
            found.append(_turn(name, "changed", list(word_changes(old, new, most))))
        shared = min(b - a, d - c)
        found += [_turn(role, "gone", [("gone", text)]) for role, text in one[a + shared : b]]
        found += [_turn(role, "new", [("new", text)]) for role, text in two[c + shared : d]]
    return found


def turn_steps(one: list, two: list) -> list[tuple[str, int, int, int, int]]:
    """As difflib's opcodes. Of very long conversations, what lies between their common beginning and end is compared
    turn by turn in its place: to look for the best way takes time with the cube of the turns."""
    head = _shared(one, two)
    tail = _shared(one[head:][::-1], two[head:][::-1])
    middle_one, middle_two = one[head : len(one) - tail], two[head : len(two) - tail]
    steps = [("replace", 0, len(middle_one), 0, len(middle_two))]
    if max(len(middle_one), len(middle_two)) <= TURNS_COMPARED:
        steps = difflib.SequenceMatcher(None, middle_one, middle_two, autojunk=False).get_opcodes()
    inner = [(kind, a + head, b + head, c + head, d + head) for kind, a, b, c, d in steps]
    end = ("equal", len(one) - tail, len(one), len(two) - tail, len(two))
    return [("equal", 0, head, 0, head), *inner, end]


def _turn(role: str, state: str, pieces: list[tuple[str, str]]) -> dict[str, Any]:
    return {"role": role, "state": state, "pieces": pieces}
