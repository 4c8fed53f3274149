"""What all sources share: their state, their errors, and a stream that knows the hash of what went through it."""

import hashlib
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from django.utils.translation import gettext as _

BUFFER_BYTES = 1024 * 1024  # a request of the reader for some bytes is never a request to the server


class SourceError(Exception):
    """`str()` is a plain sentence, without credentials and without the query of an address."""


class SourceRefused(SourceError):
    """The address is malformed, or leads to where users' addresses may not."""


class SourceFailed(SourceError):
    """The store did not give it: not there, not allowed, not answering."""


class SourceChanged(SourceError):
    """The bytes are others than they were: `was` and `found` are the two marks, as they may be shown."""

    def __init__(self, message: str, *, was: str = "", found: str = "") -> None:
        super().__init__(message)
        self.was = was
        self.found = found


@dataclass(frozen=True)
class Credentials:
    """What a connection holds, opened for one use. `values` by name: token, access_key_id, secret_access_key …"""

    kind: str
    endpoint_url: str = ""
    region: str = ""
    values: dict[str, str] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


@dataclass(frozen=True)
class State:
    """What tells one content from another without reading it.

    `mark` is the store's own (ETag; modification time of a local file), empty where it gives none; `size` is in
    bytes, None when unknown; `version` what pins this content, where the store has such a thing.
    """

    mark: str
    size: int | None
    version: str = ""
    is_seekable: bool = False

    def differs_from(self, mark: str, size: int | None) -> bool:
        """Whether the content cannot be the one that had this mark and size. Nothing known is no difference."""
        if self.size is not None and size is not None and self.size != size:
            return True
        return bool(self.mark and mark and self.mark != mark)


class Source(ABC):
    """One file somewhere else."""

    def __init__(self, uri: str, name: str) -> None:
        self.uri = uri
        self.name = clean_name(name)
        self.sha256: str | None = None  # of the whole content, once a stream has been read to its end
        self.failure: SourceError | None = None  # of a stream; a reader may take it for a fault of the file
        self.on_progress: Callable[[float], None] | None = None  # told the share that was read, 0 to 1
        self.seconds: float | None = None  # that a stream may take, where somebody waits for it
        self._state: State | None = None

    @abstractmethod
    def ask_state(self) -> State:
        """Asks the store. Raises SourceError."""

    @abstractmethod
    def open_raw(self, state: State) -> io.RawIOBase:
        """A fresh stream from the start, that ends with SourceChanged if the content is not that of `state`."""

    def state(self) -> State:
        """What the store says now. All streams of this source are held to its first answer."""
        found = self.ask_state()
        self._state = self._state or found
        return found

    @property
    def first_state(self) -> State:
        return self._state or self.state()

    @property
    def size(self) -> int | None:
        return self.first_state.size

    @property
    def is_seekable(self) -> bool:
        return self.first_state.is_seekable

    def open(self) -> io.BufferedReader:
        return io.BufferedReader(Noted(self.open_raw(self.first_state), self), BUFFER_BYTES)

    def hash(self) -> str:
        """The sha256 of the content; reads it through if no stream has been read to its end yet."""
        if self.sha256 is None:
            with self.open() as stream:
                while stream.read(BUFFER_BYTES):
                    pass
        assert self.sha256 is not None, "a stream that ended has a hash"
        return self.sha256


class Noted(io.RawIOBase):
    """Passes a stream through and hashes it on the way, each byte once, however the reader jumps to and fro.

    A reader that leaves a part out leaves the hash unfinished.
    """

    def __init__(self, inner: io.RawIOBase, source: Source) -> None:
        self.inner = inner
        self.source = source
        self.digest = hashlib.sha256()
        self.hashed = 0
        self.position = 0
        self.size = source.first_state.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.inner.seekable()

    def readinto(self, buffer) -> int:
        try:
            count = self.inner.readinto(buffer) or 0
        except SourceError as problem:
            self.source.failure = problem
            raise
        begin, self.position = self.position, self.position + count
        if begin <= self.hashed < self.position:
            self.digest.update(memoryview(buffer)[self.hashed - begin : count])
            self.hashed = self.position
        if self.source.on_progress is not None:
            self.source.on_progress(self.position / self.size if self.size else 0.0)
        if count == 0 and len(buffer) and begin == self.hashed:
            self.source.sha256 = self.source.sha256 or self.digest.hexdigest()
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = self.inner.seek(offset, whence)
        return self.position

    def tell(self) -> int:
        return self.position

    def close(self) -> None:
        if not self.closed:
            self.inner.close()
        super().close()


def changed(source: Source, was: State, found: State) -> SourceChanged:
    words = _("“%(name)s” changed while it was being read.") % {"name": source.name}
    return SourceChanged(words, was=was.mark, found=found.mark)


def scheme_of(uri: str) -> str:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    return found[1].lower() if found else ""


def clean_name(name: str) -> str:
    """The last part of a path for people: decoded, printable, 255 characters at most."""
    last = unquote(name.rstrip("/").rsplit("/", 1)[-1])
    return "".join(character for character in last if character.isprintable() and character != "/")[:255]
