"""What W&B's library has written on this machine for a run. Its files are logs in LevelDB's format of `Record`s.

Format: github.com/google/leveldb/blob/main/doc/log_format.md, after seven bytes of W&B's own.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

BLOCK = 32768
FILE_HEADER, CHUNK_HEADER = 7, 7
FULL, FIRST, LAST = 1, 2, 4


def highest_step(directory: Path, run_id: str) -> int:
    """Of all that was written for the run without sending it; -1 if nothing was."""
    files = directory.glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")
    return max((row["_step"] for path in files for row in read_history(path)), default=-1)


def read_history(path: Path) -> Iterator[dict]:
    """Every logged row with its `_step`, up to where the file ends or was cut by the death of its writer."""
    from wandb.proto.wandb_internal_pb2 import Record

    for content in read_records(path):
        record = Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            row = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            yield {"_step": record.history.step.num, **row}


def read_records(path: Path) -> Iterator[bytes]:
    """Of every whole record its bytes."""
    with open(path, "rb") as file:
        place, whole = len(file.read(FILE_HEADER)), b""
        while True:
            left = BLOCK - place % BLOCK
            if left < CHUNK_HEADER:
                place += len(file.read(left))
            header = file.read(CHUNK_HEADER)
            if len(header) < CHUNK_HEADER:
                return
            _checksum, size, kind = struct.unpack("<IHB", header)
            content = file.read(size)
            if len(content) < size or not FULL <= kind <= LAST:
                return
            place += CHUNK_HEADER + size
            whole = content if kind in (FULL, FIRST) else whole + content
            if kind in (FULL, LAST):
                yield whole
