"""What must be true before anything starts. Each check raises `CannotStart` with one line on what to do."""

import errno
import fcntl
import json
import os
import shutil
import socket
from pathlib import Path
from typing import IO

MINIMUM_FREE_BYTES = 1024**3


class CannotStart(RuntimeError):
    """Something that a person has to change first. The message says what, with the value that was found."""


def check_data_dir(data: Path, minimum: int = MINIMUM_FREE_BYTES) -> None:
    """Make the data directory if it is missing; check that it can be written and has `minimum` bytes free."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, data) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise CannotStart(
            f"{data} cannot be written to. Change its owner, or set APEX_DATA_DIR to another folder."
        )
    free = shutil.disk_usage(data).free  # what is left for us, without what is kept back for root
    if free < minimum:
        raise CannotStart(
            f"The disk that holds {data} has {free // 1024**2} MB free; at least {minimum // 1024**2} MB are "
            f"needed. Make room, or set APEX_DATA_DIR to a folder on another disk."
        )


def check_number(setting: str) -> None:
    """Check that a setting of the environment, if it is there, is a whole number."""
    value = os.environ.get(setting)
    if value is not None and not value.isdecimal():
        raise CannotStart(f"{setting} is {value!r}; it must be a whole number.")


def check_port(host: str, port: int) -> None:
    """Check that we can listen on `host`:`port`, by doing so for a moment."""
    if not 0 < port < 65536:
        raise CannotStart(f"APEX_PORT is {port}; it must be between 1 and 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError as error:
            raise CannotStart(
                f"Port {port} is reserved for the system. Choose one above 1023: APEX_PORT=8000."
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"Port {port} is taken{_holder(port)}. Stop that program, or choose another port: "
                    f"APEX_PORT={_next(port)} make up"
                ) from error
            raise CannotStart(
                f"APEX_HOST is {host}; this machine cannot listen there ({error.strerror})."
            ) from error


def take_lock(data: Path) -> IO[str]:
    """Return the open lock file of `data`; while it is open nobody else can start Apex on that folder."""
    try:
        file = open(data / "up.lock", "a+")  # noqa: SIM115 - the caller keeps it open for as long as Apex runs
    except OSError as error:
        raise explain(error, data) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise CannotStart(
            f"Apex already runs on {data}{_running_at(data)}. Stop it there with Ctrl-C, or set APEX_DATA_DIR "
            f"to another folder."
        ) from error
    return file


def explain(error: OSError, path: Path) -> CannotStart:
    """Return `error` in words a person can act on: no room, no permission, or what the system said."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotStart(
            f"The disk that holds {path} is full. Make room, or set APEX_DATA_DIR to a folder on another disk."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return CannotStart(
            f"{path} cannot be written to ({error.strerror}). Set APEX_DATA_DIR to another folder."
        )
    return CannotStart(f"{error.filename or path}: {error.strerror or error}")


def _holder(port: int) -> str:
    """Return " by NAME (process N)" for who listens on `port`, or nothing where the system will not tell."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        return ""
    return ""


def _next(port: int) -> int:
    return port + 1 if port < 65535 else 8000


def _running_at(data: Path) -> str:
    try:
        facts = json.loads((data / "processes.json").read_text())
        return f" (process {facts['pid']}, {facts['url']})"
    except (OSError, ValueError, KeyError):
        return ""
