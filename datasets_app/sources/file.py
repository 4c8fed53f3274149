"""`file:///directory/file.jsonl`: a file of this machine, inside a directory that an admin allowed."""

import io
import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from .base import Credentials, Source, SourceFailed, SourceRefused, State, changed

SCHEME = "file"
SHAPE = "file:///directory/letters.jsonl"
# Of the house or of the system, whatever an admin allowed around them.
NEVER = [Path("/proc"), Path("/sys"), Path("/dev"), Path("/run"), Path("/etc"), Path("/root")]


def allowed_directories() -> list[Path]:
    """Where `file://` may read, from the environment and from the admin."""
    named = [*settings.ALLOWED_DIRECTORIES, *import_string(settings.ALLOWED_PLACES)("directory")]
    return [Path(os.path.realpath(text)) for text in named if text.strip() and Path(text).is_absolute()]


def house_directories() -> list[Path]:
    return [
        Path(os.path.realpath(path))
        for path in (settings.DATA_DIR, settings.BASE_DIR, settings.ARTIFACT_CACHE)
    ]


def open_source(uri: str, credentials: Credentials | None, *, limit: int | None = None) -> "FileSource":
    try:
        parts = urlsplit(uri)
    except ValueError as problem:
        raise SourceRefused(_("This is no valid address.")) from problem
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise SourceRefused(_("Write an address of a file as %(shape)s.") % {"shape": SHAPE})
    path = unquote(parts.path)
    if "\x00" in path or not path.startswith("/") or ".." in path.split("/"):
        raise SourceRefused(_("Write an address of a file as %(shape)s.") % {"shape": SHAPE})
    return FileSource(uri, Path(path), limit=limit)


class FileSource(Source):
    """The file as it is opened, not as it is named: links are followed first, and must end where reading is allowed."""

    def __init__(self, uri: str, path: Path, *, limit: int | None) -> None:
        super().__init__(uri, path.name)
        self.path = path
        self.limit = limit
        check_is_inside(Path(os.path.normpath(path)))

    def open_raw(self, state: State) -> "LocalStream":
        descriptor = self.open_descriptor()
        found = state_of(os.fstat(descriptor))
        if found.differs_from(state.mark, state.size):
            os.close(descriptor)
            raise changed(self, state, found)
        return LocalStream(descriptor)

    def ask_state(self) -> State:
        descriptor = self.open_descriptor()
        try:
            state = state_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if self.limit and (state.size or 0) > self.limit:
            raise SourceRefused(
                _(
                    "“%(name)s” has %(size)s MB; references up to %(limit)s MB are read here. Ask an admin for more."
                )
                % {"name": self.name, "size": state.size // 10**6, "limit": self.limit // 10**6}
            )
        return state

    def open_descriptor(self) -> int:
        try:
            # Not blocking, so that a pipe without a writer does not hold us; no terminal becomes ours.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as problem:
            raise SourceFailed(
                _("“%(name)s” cannot be read: %(why)s.")
                % {"name": self.name, "why": os.strerror(problem.errno or 0)}
            ) from problem
        try:
            # Where the descriptor really leads: a link that was changed since would be seen here.
            check_is_inside(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceRefused(
                    _("“%(name)s” is no file: a directory, a device or a pipe.") % {"name": self.name}
                )
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class LocalStream(io.FileIO):
    """A file by its descriptor, closed with the stream."""


def check_is_inside(path: Path) -> None:
    """Raises SourceRefused unless `path` is where reading is allowed. Says nothing of what is elsewhere."""
    allowed = allowed_directories()
    # The directory of a name may itself be a link; the name's own end is looked at once it is open.
    real = Path(os.path.realpath(path.parent)) / path.name
    is_ours = any(real.is_relative_to(house) for house in [*house_directories(), *NEVER])
    if not is_ours and any(real.is_relative_to(directory) for directory in allowed):
        return
    if not allowed:
        raise SourceRefused(
            _("No directory of this machine is open to file:// addresses; an admin can allow one.")
        )
    raise SourceRefused(
        _("file:// addresses may read inside %(allowed)s only, and nothing that belongs to Apex itself.")
        % {"allowed": ", ".join(str(directory) for directory in allowed)}
    )


def state_of(facts: os.stat_result) -> State:
    return State(f"changed at {facts.st_mtime_ns}", facts.st_size, is_seekable=True)
