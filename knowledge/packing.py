"""Words and vectors of pieces as bytes, as `IndexBlock` keeps them. Pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

# Letters and digits in a row; of scripts without spaces each two neighbours are a word.
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+")
MOST_COUNTED = 255
# English endings that change little of the meaning; the first that leaves three letters goes.
ENDINGS = ("ingly", "edly", "ings", "ing", "ed", "ly")


def words_of(text: str) -> list[str]:
    """The words of a text as they are looked up: small letters, no accents, English endings off."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c)) if not plain.isascii() else plain
    found = []
    for word in WORD.findall(plain):
        if not word.isascii() and (run := SPACELESS.search(word)):
            found += [run[0][at : at + 2] for at in range(max(1, len(run[0]) - 1))]
        else:
            found.append(stem(word.replace("’", "'").removesuffix("'s")))
    return found


def stem(word: str) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    if word.endswith(("ies", "ied")) and len(word) > 4:
        return word[:-3] + "y"
    for ending in ENDINGS:
        bare = word.removesuffix(ending)
        if bare != word and len(bare) >= 3:
            # "stopped" is "stop"; but "pressed" is "press"
            is_doubled = len(bare) > 3 and bare[-1] == bare[-2] and bare[-1] not in "lsz"
            return without_e(bare[:-1] if is_doubled else bare)
    if word.endswith("es") and word[:-2].endswith(("s", "x", "z", "ch", "sh")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return without_e(word)


def without_e(word: str) -> str:
    """So that "closing" and "close" are one; short words stay, or "note" would be "not"."""
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def hashed(word: str) -> int:
    return xxhash.xxh32_intdigest(word.encode())


@dataclass(frozen=True)
class Words:
    """Of `n` pieces: how many words each has, and what is in each, one entry for each different word."""

    lengths: np.ndarray  # uint32, n: words with repetition
    rows: np.ndarray  # uint32: which of the n
    terms: np.ndarray  # uint32: the word's hash
    counts: np.ndarray  # uint8: how often, at most 255


def pack_words(texts: Sequence[str]) -> bytes:
    """n; n lengths; n numbers of entries (each uint32); then terms (uint32) and counts (uint8) of all."""
    lengths: list[int] = []
    sizes: list[int] = []
    terms: list[int] = []
    counts: list[int] = []
    for text in texts:
        found = Counter(map(hashed, words_of(text)))
        lengths.append(sum(found.values()))
        sizes.append(len(found))
        terms += found.keys()
        counts += [min(MOST_COUNTED, count) for count in found.values()]
    head = np.array([len(texts), *lengths, *sizes], "<u4")
    return head.tobytes() + np.array(terms, "<u4").tobytes() + np.array(counts, "u1").tobytes()


def unpack_words(data: bytes) -> Words:
    count = int(np.frombuffer(data, "<u4", 1)[0])
    lengths = np.frombuffer(data, "<u4", count, 4)
    sizes = np.frombuffer(data, "<u4", count, 4 + 4 * count)
    total = int(sizes.sum())
    begin = 4 + 8 * count
    terms = np.frombuffer(data, "<u4", total, begin)
    counts = np.frombuffer(data, "u1", total, begin + 4 * total)
    return Words(lengths, np.repeat(np.arange(count, dtype="u4"), sizes), terms, counts)


def pack_vectors(vectors: np.ndarray) -> bytes:
    """Half floats of length 1: their dot product is the cosine. `vectors` is (n, dimension)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype("<f2").tobytes()


def unpack_vectors(data: bytes, dimension: int) -> np.ndarray:
    """(n, dimension) half floats; (0, dimension) of no bytes."""
    return np.frombuffer(data, "<f2").reshape(-1, max(1, dimension))
