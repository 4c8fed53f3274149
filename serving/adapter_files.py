"""Reads a safetensors file with suspicion: sizes, types and values, without torch. Format: safetensors' README."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

LARGEST_HEADER = 100 * 1024**2  # the format's own limit
VALUES_AT_ONCE = 4 * 1024**2

# Bytes of one value, the unsigned integer of that size, and which of its bits are all set in infinities and NaN.
FLOATS: dict[str, tuple[int, type, int]] = {
    "F64": (8, np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (4, np.uint32, 0x7F80_0000),
    "F16": (2, np.uint16, 0x7C00),
    "BF16": (2, np.uint16, 0x7F80),
}


class BrokenFile(ValueError):
    """The file is not what it says. `str()` goes on behind the file's name."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`begin` and `end` are its bytes in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_tensors(path: Path) -> list[Tensor]:
    """What a safetensors file holds, its size and layout checked. Raises BrokenFile."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise BrokenFile(f"is {size} bytes long, too short for a safetensors file")
        (length,) = struct.unpack("<Q", start)
        if length > min(LARGEST_HEADER, size - 8):
            raise BrokenFile(f"announces a header of {length} bytes in a file of {size}")
        header = _json(file.read(length))
    header.pop("__metadata__", None)
    tensors = [_tensor(name, entry, 8 + length) for name, entry in header.items()]
    _check_layout(tensors, 8 + length, size)
    return tensors


def first_bad_value(path: Path, tensors: list[Tensor]) -> tuple[Tensor, int] | None:
    """The first tensor with a NaN or an infinity, and where in it; None where every value is a number.

    The tensors' types are among FLOATS.
    """
    with path.open("rb") as file:
        for tensor in sorted(tensors, key=lambda one: one.begin):
            file.seek(tensor.begin)
            bytes_each, unsigned, mask = FLOATS[tensor.dtype]
            for offset, piece in _pieces(file, (tensor.end - tensor.begin) // bytes_each, bytes_each):
                bits = np.frombuffer(piece, dtype=np.dtype(unsigned).newbyteorder("<"))
                bad = (bits & unsigned(mask)) == mask
                if bad.any():
                    return tensor, offset + int(bad.argmax())
    return None


def _pieces(file, count: int, bytes_each: int) -> Iterator[tuple[int, bytes]]:
    for offset in range(0, count, VALUES_AT_ONCE):
        wanted = min(VALUES_AT_ONCE, count - offset) * bytes_each
        piece = file.read(wanted)
        if len(piece) < wanted:
            raise BrokenFile("became shorter while it was read")
        yield offset, piece


def _json(content: bytes) -> dict:
    try:
        header = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"has a header that is no JSON ({str(error)[:120]})") from error
    if not isinstance(header, dict):
        raise BrokenFile("has a header that is no JSON object")
    return header


def _each_once(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _tensor(name: str, entry: object, start: int) -> Tensor:
    shown = repr(name[:120])
    if not isinstance(entry, dict):
        raise BrokenFile(f"says nothing of its tensor {shown} but {str(entry)[:40]!r}")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str):
        raise BrokenFile(f"names no type of its tensor {shown}")
    if not _is_whole(shape) or len(shape) > 8:
        raise BrokenFile(f"gives its tensor {shown} the shape {str(shape)[:60]}")
    if not _is_whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BrokenFile(f"places its tensor {shown} at {str(offsets)[:60]}")
    if dtype in FLOATS and math.prod(shape) * FLOATS[dtype][0] != offsets[1] - offsets[0]:
        raise BrokenFile(
            f"has {offsets[1] - offsets[0]} bytes for its tensor {shown}, where {dtype} of shape {shape} takes "
            f"{math.prod(shape) * FLOATS[dtype][0]}"
        )
    return Tensor(name, dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _is_whole(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**48 for one in value)


def _check_layout(tensors: list[Tensor], start: int, size: int) -> None:
    """Tensors lie one behind the other, without holes and overlaps, to the end of the file."""
    at = start
    for tensor in sorted(tensors, key=lambda one: (one.begin, one.end)):
        if tensor.begin != at:
            raise BrokenFile(
                f"has its tensor {tensor.name[:120]!r} at byte {tensor.begin}, where {at} was expected"
            )
        at = tensor.end
    if at != size:
        raise BrokenFile(f"is {size} bytes long; its header speaks of {at}")
