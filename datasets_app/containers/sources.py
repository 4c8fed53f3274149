"""Where the bytes of a file come from, as far as reading has to know."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

WATCHED_PIECE = 1024 * 1024


class Source(Protocol):
    """Something with bytes. `open` gives a fresh stream from the start; `size` is in bytes, None when unknown."""

    name: str
    size: int | None
    is_seekable: bool

    def open(self) -> BinaryIO: ...


@dataclass(frozen=True)
class FileSource:
    """A file on this machine."""

    path: Path
    name: str = ""

    is_seekable = True

    @property
    def size(self) -> int | None:
        return self.path.stat().st_size

    def open(self) -> BinaryIO:
        return open(self.path, "rb")


@dataclass(frozen=True)
class Watched:
    """A file on this machine whose reader tells `on_progress` which share of it has been read, 0 to 1."""

    path: Path
    name: str
    on_progress: Callable[[float], None]

    is_seekable = True

    @property
    def size(self) -> int | None:
        return self.path.stat().st_size

    def open(self) -> BinaryIO:
        return io.BufferedReader(_WatchedFile(self.path, self.on_progress), WATCHED_PIECE)


class _WatchedFile(io.FileIO):
    def __init__(self, path: Path, on_progress: Callable[[float], None]) -> None:
        super().__init__(path)
        self._size = max(1, path.stat().st_size)
        self._on_progress = on_progress

    def readinto(self, buffer) -> int | None:
        count = super().readinto(buffer)
        self._on_progress(min(1.0, self.tell() / self._size))
        return count


def source_of(what: "Path | str | Source", name: str = "") -> Source:
    """`what` as a source: a path becomes a FileSource, anything else is one already."""
    if isinstance(what, (str, Path)):
        return FileSource(Path(what), name)
    return what
