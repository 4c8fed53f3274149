"""A file behind HTTP: its state, and a stream that goes on after a break and jumps by asking for ranges."""

import io
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from django.utils.translation import gettext as _

from apex.common.fetch import Answer, FetchError, FetchFailed, FetchRefused, Limits, open_url

from .base import Source, SourceFailed, SourceRefused, State, changed

logger = logging.getLogger(__name__)
RETRIES = 4
RETRY_SECONDS = 0.5  # doubled at each try
ERROR_BYTES = 16 * 1024
SKIPPED_BYTES = 256 * 1024  # a shorter jump ahead is read over
LOOKING = Limits(connect=10, read=20, total=30)
# A large file takes as long as it takes; what only drips is left by the guard.
STREAMING = Limits(connect=10, read=60, total=None)


@dataclass(frozen=True)
class Ask:
    """One request, signed anew each time. `headers` may hold credentials, so it is never shown."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


# What to ask for, of the version that a state pinned ("" for whatever is there now).
Asking = Callable[[str], Ask]


class WebSource(Source):
    """`asking` makes the request; `version_of` reads what pins the content out of an answer's headers."""

    def __init__(
        self,
        uri: str,
        name: str,
        asking: Asking,
        *,
        limit: int | None = None,
        version_of: Callable[[dict[str, str]], str] = lambda headers: "",
    ) -> None:
        super().__init__(uri, name)
        self.asking = asking
        self.limit = limit
        self.version_of = version_of

    def ask_state(self) -> State:
        # The first byte, not a HEAD: addresses signed for GET, which people paste, refuse HEAD.
        with self.asked("", (0, 0), LOOKING) as answer:
            if answer.status == 416:  # there is no first byte
                return State(mark_of(answer.headers), 0, self.version_of(answer.headers), is_seekable=False)
            raise_for_status(answer)
            state = self.state_of(answer)
        self.check_size(state.size)
        return state

    def state_of(self, answer: Answer) -> State:
        total = answer.length
        if answer.status == 206:
            found = re.fullmatch(
                r"bytes \d{1,18}-\d{1,18}/(\d{1,18})", answer.headers.get("content-range", "").strip()
            )
            total = int(found[1]) if found else None
        return State(
            mark_of(answer.headers),
            total,
            self.version_of(answer.headers),
            is_seekable=answer.status == 206 and total is not None,
        )

    def check_size(self, size: int | None) -> None:
        if self.limit and size is not None and size > self.limit:
            raise SourceRefused(
                _(
                    "“%(name)s” has %(size)s MB; references up to %(limit)s MB are read here. Ask an admin for more."
                )
                % {"name": self.name, "size": size // 10**6, "limit": self.limit // 10**6}
            )

    @contextmanager
    def asked(
        self, version: str, byte_range: tuple[int, int | None] | None, limits: Limits
    ) -> Iterator[Answer]:
        """An answer, whatever its status. The guard's refusals and failures become those of a source."""
        ask = self.asking(version)
        try:
            with open_url(
                ask.url, headers=ask.headers, byte_range=byte_range, limits=limits, max_bytes=self.limit
            ) as answer:
                yield answer
        except FetchRefused as problem:
            raise SourceRefused(str(problem)) from problem
        except FetchFailed as problem:
            if problem.is_broken_off:
                raise
            raise SourceFailed(str(problem)) from problem

    def open_raw(self, state: State) -> io.RawIOBase:
        return WebStream(self, state)


class WebStream(io.RawIOBase):
    """One request at a time, from `position` to the end; begun again elsewhere after a jump or a break."""

    def __init__(self, source: WebSource, state: State) -> None:
        self.source = source
        self.state = state
        self.position = 0
        self.breaks = 0
        self._open: ExitStack | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.state.is_seekable

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if not self.seekable():
            raise io.UnsupportedOperation("this store gives no ranges")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.state.size or 0}[whence]
        wanted = max(0, base + offset)
        ahead = wanted - self.position
        if self._open is not None and 0 <= ahead <= SKIPPED_BYTES:
            while ahead > 0 and (piece := self.read(min(ahead, 65536))):
                ahead -= len(piece)
        if wanted != self.position:
            self.drop()
            self.position = wanted
        return self.position

    def readinto(self, buffer) -> int:
        if not self._rest:
            self._rest = memoryview(self.next_piece())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.position += count
        return count

    def next_piece(self) -> bytes:
        """The next bytes, or none at the end. After a break it goes on where it stopped, RETRIES times at most."""
        while True:
            try:
                if self._open is None:
                    if self.state.size is not None and self.position >= self.state.size:
                        return b""
                    self.begin()
                piece = next(self._pieces, b"")
                if not piece:
                    self.check_end()
                return piece
            except FetchRefused as problem:
                self.drop()
                raise SourceRefused(str(problem)) from problem
            except FetchFailed as problem:
                self.drop()
                self.breaks += 1
                if (
                    self.breaks > RETRIES
                    or not problem.is_broken_off
                    or not (self.seekable() or not self.position)
                ):
                    raise SourceFailed(str(problem)) from problem
                time.sleep(RETRY_SECONDS * 2 ** (self.breaks - 1))

    def begin(self) -> None:
        """Asks for everything from `position`, and makes sure that it is the same content."""
        with ExitStack() as stack:
            wanted = (self.position, None) if self.position else None
            limits = replace(STREAMING, total=self.source.seconds)
            answer = stack.enter_context(self.source.asked(self.state.version, wanted, limits))
            if answer.status in (412, 416):
                raise changed(self.source, self.state, State("", None))
            raise_for_status(answer)
            begins = answer.headers.get("content-range", "").replace(" ", "")
            if self.position and not (answer.status == 206 and begins.startswith(f"bytes{self.position}-")):
                raise SourceFailed(_("%(host)s no longer gives parts of the file.") % {"host": answer.host})
            found = self.source.state_of(answer)
            if found.differs_from(self.state.mark, self.state.size):
                raise changed(self.source, self.state, found)
            self._pieces = answer.iter_bytes()
            self._open = stack.pop_all()

    def check_end(self) -> None:
        """An end before the announced one is none: chunked answers may be cut off cleanly."""
        if self.state.size is not None and self.position + len(self._rest) < self.state.size:
            words = _("“%(name)s” ended after %(count)s of %(size)s bytes.")
            told = {"name": self.source.name, "count": self.position, "size": self.state.size}
            raise FetchFailed(words % told, is_broken_off=True)

    def drop(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open, self._pieces, self._rest = None, iter(()), memoryview(b"")

    def close(self) -> None:
        self.drop()
        super().close()


def mark_of(headers: dict[str, str]) -> str:
    """ETag, or failing that the time of the last change; at most 300 characters."""
    if etag := headers.get("etag", "").strip():
        # Whether a proxy packed it on the way says nothing of the content.
        return etag.removeprefix("W/")[:300]
    modified = headers.get("last-modified", "").strip()
    return f"Last-Modified: {modified}"[:300] if modified else ""


def raise_for_status(answer: Answer, code: str | None = None) -> None:
    """Raises SourceFailed for an answer that is none, with the store's own word for it (never its prose), which is
    `code` where it was read already."""
    if 200 <= answer.status < 300:
        return
    try:
        answer.raise_for_status()
    except FetchFailed as problem:
        code = code_of(answer) if code is None else code
        raise SourceFailed(f"{str(problem).rstrip('.')}: {code}." if code else str(problem)) from problem


def code_of(answer: Answer) -> str:
    """`NoSuchKey`, `SignatureDoesNotMatch`, `GatedRepo` …: one word, or nothing."""
    text = answer.headers.get("x-error-code", "")
    if "xml" in answer.headers.get("content-type", ""):
        text = (re.search(r"<Code>([^<]*)</Code>", beginning_of(answer)) or ["", ""])[1]
    return text if re.fullmatch(r"[A-Za-z]{3,60}", text) else ""


def beginning_of(answer: Answer) -> str:
    """The first ERROR_BYTES of what a store says of a fault, or what came of it."""
    body = b""
    try:
        for piece in answer.iter_bytes():
            body += piece[: ERROR_BYTES - len(body)]
            if len(body) >= ERROR_BYTES:
                break
    except FetchError as problem:
        logger.info("what a store says of a fault broke off: %s", problem)
    return body.decode("utf-8", "replace")
