"""Where the bytes of a file come from, as far as reading has to know."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


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


def source_of(what: "Path | str | Source", name: str = "") -> Source:
    """`what` as a source: a path becomes a FileSource, anything else is one already."""
    if isinstance(what, (str, Path)):
        return FileSource(Path(what), name)
    return what
