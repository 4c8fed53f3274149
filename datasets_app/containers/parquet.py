"""Parquet: rows numbered from 1, read by a process of their own (`parquet_child` says why)."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_app.faults import REFUSAL
from datasets_app.formats.base import BadRow

from .base import Broken, Found, Opened
from .parquet_child import read_frame, write_frame
from .parquet_rows import MEND, damaged

NAME = "parquet"
MAGIC = b"PAR1"
# A Parquet file is read from its end, so one that only streams is kept on disk while it is read.
SPOOL_MOST = 8 * 1024 * 1024 * 1024
READER = [sys.executable, "-m", "datasets_app.containers.parquet_child"]
ROOT = Path(__file__).resolve().parents[2]


def fits(opened: Opened) -> bool:
    return opened.head.startswith(MAGIC)


def records(opened: Opened) -> Iterator[Found | Broken]:
    with tempfile.TemporaryFile() as spool:
        seekable = _seekable(opened, spool)
        if seekable is None:
            fault = BadRow("This Parquet file is too large to be read.", MEND, code="too_large")
            yield Broken(None, fault, REFUSAL)
            return
        reader = subprocess.Popen(
            READER, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            yield from _what_it_says(reader, seekable)
        finally:
            reader.kill()
            reader.communicate()


def _what_it_says(reader: subprocess.Popen, seekable: Any) -> Iterator[Found | Broken]:
    """Answers what the reader asks, and passes on what it finds; its death is a fault of the file."""
    assert reader.stdin is not None and reader.stdout is not None
    number = 0
    try:
        _answer(reader, str(seekable.seek(0, 2)).encode())
        while (frame := read_frame(reader.stdout)) is not None:  # type: ignore[arg-type]
            word, *said = json.loads(frame)
            if word == "end":
                return
            if word == "read":
                seekable.seek(said[0])
                _answer(reader, seekable.read(said[1]))
            elif word == "found":
                number, value, place = said
                yield Found(number, value, place)
            else:
                number, problem, mend, code, found, severity = said
                yield Broken(number, BadRow(problem, mend, found, code), severity)
    except BrokenPipeError:
        pass  # it is dead: said below
    yield damaged(number or 0, "it cannot be read any further")


def _answer(reader: subprocess.Popen, data: bytes) -> None:
    assert reader.stdin is not None
    write_frame(reader.stdin, data)  # type: ignore[arg-type]
    reader.stdin.flush()


def _seekable(opened: Opened, spool: Any) -> Any:
    """The stream, or a copy of it that can seek; None when it is too large for that."""
    if opened.stream.seekable():
        return opened.stream
    size = 0
    while data := opened.stream.read(1024 * 1024):
        size += len(data)
        if size > SPOOL_MOST:
            return None
        spool.write(data)
    return spool
