"""The compiled scanner: loaded if it is there, else `load` gives None and everything goes the careful way."""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np

from .build import product

PADDING = 64  # as in scan.c
LINES = 65_536  # entries of a batch
PERMUTATIONS = 128  # as in scan.c
_draw = np.random.default_rng(1)
MULTIPLIERS = _draw.integers(0, 1 << 32, PERMUTATIONS, np.uint32) | np.uint32(1)
OFFSETS = _draw.integers(0, 1 << 32, PERMUTATIONS, np.uint32)


class Batch(ctypes.Structure):
    """As in scan.c."""

    _fields_ = [
        ("prompt", ctypes.c_void_p),
        ("row", ctypes.c_void_p),
        ("check", ctypes.c_void_p),
        ("line", ctypes.c_void_p),
        ("turns", ctypes.c_void_p),
        ("characters", ctypes.c_void_p * 3),
        ("capacity", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("look_offset", ctypes.c_void_p),
        ("look_length", ctypes.c_void_p),
        ("look_line", ctypes.c_void_p),
        ("look_flags", ctypes.c_void_p),
        ("look_capacity", ctypes.c_uint64),
        ("look_count", ctypes.c_uint64),
        ("known", ctypes.c_void_p),
        ("known_mask", ctypes.c_uint64),
        ("sample_below", ctypes.c_uint64),
        ("scratch", ctypes.c_void_p),
        ("consumed", ctypes.c_uint64),
        ("lines", ctypes.c_uint64),
    ]


class Library:
    """The functions of scan.c."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self.scan = library.apex_scan
        self.scan.restype = None
        self.scan.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint64, ctypes.POINTER(Batch),
        ]  # fmt: skip
        self._sign = library.apex_sign
        self._sign.restype = None
        self._sign.argtypes = [ctypes.c_char_p, ctypes.c_size_t] + 3 * [ctypes.c_void_p]
        self._digest = library.apex_digest
        self._digest.restype = None
        self._digest.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]

    def digest(self, before: tuple[int, int], role: int, content: bytes) -> tuple[int, int]:
        """The digest of a conversation with one more message, from the one `before` it; (0, 0) before the first."""
        state = (ctypes.c_uint64 * 2)(*before)
        self._digest(state, role, content, len(content))
        return state[0], state[1]

    def sign(self, text: bytes, signature: np.ndarray) -> None:
        """Writes the MinHash signature of a text, PERMUTATIONS numbers of 32 bits, by runs of three words."""
        self._sign(text, len(text), MULTIPLIERS.ctypes.data, OFFSETS.ctypes.data, signature.ctypes.data)


@cache
def load() -> Library | None:
    """The compiled scanner, or None when it was not built or cannot be loaded here."""
    path = product()
    if not path.exists():
        return None
    try:
        return Library(path)
    except (OSError, AttributeError):
        return None


def known_bits(fingerprints: list[int], bits: int = 20) -> "np.ndarray":
    """2^bits bits, the one at `fingerprint mod 2^bits` set for each fingerprint."""
    words = np.zeros(1 << (bits - 6), np.uint64)
    for number in fingerprints:
        bit = number & ((1 << bits) - 1)
        words[bit >> 6] |= np.uint64(1 << (bit & 63))
    return words
