"""A PostgreSQL server for tests, in a temporary folder, on a unix socket only, as a user other than root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote


def find_programs() -> Path | None:
    """Return the folder with `initdb` and `postgres`, from the PATH or Debian's place, or None."""
    candidates = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Start a server below `folder`, yield its `DATABASE_URL`, stop it.

    PostgreSQL refuses to run as root: then it runs as `postgres`, or `nobody` where there is no such user.
    """
    programs = find_programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed: no initdb")
    user = unprivileged_user()
    data = folder / "data"
    data.mkdir()
    if user is not None:
        account = pwd.getpwnam(user)
        for path in (folder, data):
            os.chown(path, account.pw_uid, account.pw_gid)
            path.chmod(0o700)
    # A socket's path must be short; the folder of a test may not be.
    with tempfile.TemporaryDirectory(prefix="pg-") as sockets:
        os.chmod(sockets, 0o777)
        run = {"user": user, "cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        initdb = [programs / "initdb", "-D", data, "-U", "apex", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, **run)
        command = [
            programs / "postgres",
            "-D",
            data,
            "-k",
            sockets,
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ]
        process = subprocess.Popen(command, **run)
        try:
            wait_until_ready(programs, sockets, process)
            yield f"postgres://apex@{quote(sockets, safe='')}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # a "fast" shutdown: clients are sent away
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(programs: Path, sockets: str, process: subprocess.Popen, timeout: float = 30) -> None:
    """Wait until the server takes connections. Raises RuntimeError if it ends or the time is over."""
    deadline = time.monotonic() + timeout
    while subprocess.run([programs / "pg_isready", "-q", "-h", sockets], check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL does not start (exit code {process.poll()})")
        time.sleep(0.1)


def unprivileged_user() -> str | None:
    """Return whom to become, or None if we are not root and may stay who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("running as root, and there is neither a user postgres nor nobody")
