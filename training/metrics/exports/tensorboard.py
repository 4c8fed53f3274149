"""An event file that TensorBoard opens: one event a step.

TensorBoard's fast loader draws single precision only and leaves doubles out (seen with 2.21), so each number is a
`DT_FLOAT` tensor, which also carries the exact double in `double_val`, where readers of floats do not look.
Put it into a folder of its own, as `events.out.tfevents.…`; series of checks come below `eval/`, others below `train/`.
The few messages are written by hand (protobuf's wire format, fields as in tensorflow/core/util/event.proto): the
libraries that do it bring torch into the process or check sums byte by byte in Python. All records of a block that
are equally long are summed at once.
"""

import struct
from collections.abc import Iterable, Iterator

import numpy as np

from training.metrics.packing import Columns

EXTENSION = "tfevents"
CONTENT_TYPE = "application/octet-stream"
DT_FLOAT = 1


def pieces(blocks: Iterable[Columns], names: list[str]) -> Iterator[bytes]:
    yield records([double_field(1, 0.0) + bytes_field(3, b"brain.Event:2")])
    told: set[str] = set()
    for block in blocks:
        yield records([event(row, names, told) for row in block.rows()])


def event(row: dict, names: list[str], told: set[str]) -> bytes:
    """Event{1: wall time, 2: step, 5: Summary{1: values}}. `told`: names whose kind is said; once is enough."""
    values = []
    for name in names:
        if name == "time" or row.get(name) is None:
            continue
        # Value{1: tag, 8: TensorProto{1: dtype, 2: shape, 5: floats, 6: doubles}, 9: metadata{1: plugin{1: name}}}
        tensor = TENSOR + bytes_field(5, single(row[name])) + bytes_field(6, struct.pack("<d", row[name]))
        value = bytes_field(1, tag(name).encode()) + bytes_field(8, tensor)
        if name not in told:
            told.add(name)
            value += bytes_field(9, bytes_field(1, bytes_field(1, b"scalars")))
        values.append(bytes_field(1, value))
    return (
        double_field(1, row.get("time") or 0.0)
        + varint_field(2, row["step"])
        + bytes_field(5, b"".join(values))
    )


def single(number: float) -> bytes:
    """The nearest float of four bytes; infinite beyond their range."""
    with np.errstate(over="ignore"):
        return np.float32(number).astype("<f4").tobytes()


def tag(name: str) -> str:
    """`eval_loss` → `eval/loss`, `grad_norm` → `train/grad_norm`."""
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def varint_field(place: int, number: int) -> bytes:
    return varint(place << 3) + varint(number)


def double_field(place: int, number: float) -> bytes:
    return varint(place << 3 | 1) + struct.pack("<d", number)


def bytes_field(place: int, data: bytes) -> bytes:
    return varint(place << 3 | 2) + varint(len(data)) + data


TENSOR = varint_field(1, DT_FLOAT) + bytes_field(2, b"")


def records(messages: list[bytes]) -> bytes:
    """TFRecord: for each its length, the checksum of that, the message, its checksum."""
    headers = [struct.pack("<Q", len(message)) for message in messages]
    parts = zip(headers, checksums(headers), messages, checksums(messages), strict=True)
    return b"".join(piece for part in parts for piece in part)


def checksums(messages: list[bytes]) -> list[bytes]:
    """The masked CRC-32C (Castagnoli) of each, as four bytes."""
    found: dict[int, bytes] = {}
    by_length: dict[int, list[int]] = {}
    for place, message in enumerate(messages):
        by_length.setdefault(len(message), []).append(place)
    for length, places in by_length.items():
        rows = np.frombuffer(b"".join(messages[place] for place in places), np.uint8).reshape(-1, length)
        sums = np.full(len(places), 0xFFFFFFFF, np.uint32)
        for byte in np.ascontiguousarray(rows.T):
            sums = CASTAGNOLI[(sums ^ byte) & 0xFF] ^ (sums >> np.uint32(8))
        sums ^= np.uint32(0xFFFFFFFF)
        masked = ((sums >> np.uint32(15)) | (sums << np.uint32(17))) + np.uint32(0xA282EAD8)
        for place, value in zip(places, masked.astype("<u4"), strict=True):
            found[place] = value.tobytes()
    return [found[place] for place in range(len(messages))]


def castagnoli_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> np.uint32(1))
    return table


CASTAGNOLI = castagnoli_table()
