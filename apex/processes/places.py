"""Where a running Apex keeps its things: data directory, runtime directory, logs.

The data directory holds everything that must survive. The runtime directory holds sockets only: a socket's
path is limited to about 107 bytes, and some shared or mounted folders cannot hold one at all, so it lies in
`XDG_RUNTIME_DIR` or the system's folder for temporary files, keyed by the data directory.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOCKET_PATH_LIMIT = 107
LONGEST_SOCKET_NAME = len("worker-default.sock")


class UnsafeRuntimeDirectory(OSError):
    """The runtime directory exists, but belongs to someone else or is open to others."""


def data_dir() -> Path:
    """Return the absolute data directory: `APEX_DATA_DIR`, or `var` beside `manage.py`. Creates nothing."""
    chosen = os.environ.get("APEX_DATA_DIR", "").strip()
    return (Path(chosen).expanduser() if chosen else ROOT / "var").resolve()


def runtime_dir(data: Path | None = None) -> Path:
    """Return the folder for the sockets of this data directory. Creates nothing.

    `make_runtime_dir` notes its choice in the data directory; the note wins while that folder is still there,
    so that a shell with other environment variables (cron, ssh) finds the same sockets.
    """
    data = data or data_dir()
    try:
        noted = Path((data / "runtime-dir").read_text().strip())
    except OSError:
        noted = None
    if noted is not None and _is_private(noted):
        return noted
    key = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and os.path.isdir(base) and os.access(base, os.W_OK):
        chosen = Path(base) / f"apex-{key}"
        if _fits(chosen):
            return chosen
    chosen = Path(tempfile.gettempdir()) / f"apex-{os.getuid()}-{key}"
    return chosen if _fits(chosen) else Path("/tmp") / chosen.name


def make_runtime_dir(data: Path | None = None) -> Path:
    """Create the runtime directory, for our user only (0700), note it in the data directory, and return it.

    Raises `UnsafeRuntimeDirectory` if something else already lies there: anyone may write to the system's
    folder for temporary files, and whoever owns the folder owns the broker.
    """
    data = data or data_dir()
    folder = runtime_dir(data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(folder):
        raise UnsafeRuntimeDirectory(
            f"{folder} is not a folder that only you can open. Remove it, or set XDG_RUNTIME_DIR "
            f"to a folder of your own."
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / "runtime-dir").write_text(f"{folder}\n")
    return folder


def remove_runtime_dir(data: Path | None = None) -> None:
    """Remove the runtime directory with the sockets in it. Only for who holds the lock: nothing may run."""
    data = data or data_dir()
    folder = runtime_dir(data)
    if _is_private(folder):
        shutil.rmtree(folder, ignore_errors=True)
    (data / "runtime-dir").unlink(missing_ok=True)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + len("/") + LONGEST_SOCKET_NAME < SOCKET_PATH_LIMIT


def _is_private(folder: Path) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077
