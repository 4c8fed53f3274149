"""Which processes a running Apex has, in the order in which they start, each with its command."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import broker
from .places import ROOT

GRACEFUL_WEB_SECONDS = 3


@dataclass(frozen=True)
class Process:
    """One process: what runs, and how to see that it is ready and well.

    `is_ready` and `ready_text` say when it has started: a call, or words in its log. `is_well` is asked from
    time to time afterwards. `rests` marks a process that ends by itself with code 0 when it has nothing to do,
    and is started again at once. `is_vital` marks one without which there is nothing to show.
    """

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool] | None = None
    ready_text: str = ""
    is_well: Callable[[], bool] | None = None
    rests: bool = False
    is_vital: bool = False


def broker_process(server: broker.Server, data: Path) -> Process:
    """Return the broker's process on the private socket of `data`."""
    url = broker.socket_url(data, "broker")
    return Process(
        name="broker",
        command=tuple(broker.command(server, data)),
        is_ready=lambda: broker.answers(url),
        is_well=lambda: broker.answers(url, timeout=3),
        is_vital=True,
    )


def site_processes(
    *,
    data: Path,
    host: str,
    port: int,
    training_queues: list[str],
    serving_url: str,
    host_header: str = "localhost",
    vllm_at: tuple[str, int] | None = None,
    trusted_proxies: str = "",
    chroma_at: tuple[str, int] | None = None,
) -> list[Process]:
    """Return everything but the broker: web, workers, scheduler, serving; a vLLM and a ChromaDB where one is wanted."""
    return [
        web(host, port, host_header, trusted_proxies),
        worker("default", concurrency=6),
        *(worker(queue) for queue in training_queues),
        scheduler(data),
        serving(serving_url),
        *([vllm(*vllm_at)] if vllm_at else []),
        *([chroma(data, *chroma_at)] if chroma_at else []),
    ]


def web(host: str, port: int, host_header: str = "localhost", trusted_proxies: str = "") -> Process:
    """Return the web server. It believes no proxy headers but those of `trusted_proxies`: anybody could write them.

    `trusted_proxies`: addresses and networks, comma-separated.
    """
    believed = ("--proxy-headers", "--forwarded-allow-ips", trusted_proxies)
    return Process(
        name="web",
        command=_python(
            "uvicorn", "apex.asgi:application", "--host", host, "--port", port, "--ws", "websockets",
            "--timeout-graceful-shutdown", GRACEFUL_WEB_SECONDS,
            *(believed if trusted_proxies else ("--no-proxy-headers",)), "--no-server-header", "--no-access-log",
            "--log-level", "info",
        ),
        is_ready=lambda: healthz(host, port, host_header) == 200,
        is_well=lambda: healthz(host, port, host_header, timeout=5) is not None,
        is_vital=True,
    )  # fmt: skip


def worker(queue: str, *, concurrency: int = 0) -> Process:
    """Return a Celery worker for one queue. It takes one task at a time into each hand, never ahead.

    Without `concurrency` the worker runs its tasks itself, one by one: nothing of a training outlives it, and
    a stop reaches the task at once.
    """
    hands = ("--concurrency", concurrency) if concurrency else ("--pool", "solo")
    return Process(
        name=f"worker-{queue.rpartition('.')[2]}",  # without the node's name: a machine has one of each
        command=_python(
            "apex.processes.worker", "-Q", queue, "-n", f"{queue}@%h", *hands,
            "--prefetch-multiplier", 1, "-O", "fair", "--without-gossip", "--without-mingle",
            "--loglevel", "INFO",
        ),
        ready_text=" ready.",
    )  # fmt: skip


def scheduler(data: Path) -> Process:
    """Return Celery's beat, which sends the periodic tasks; it notes the last times in the data directory."""
    (data / "scheduler").mkdir(parents=True, exist_ok=True)
    return Process(
        name="scheduler",
        command=_python(
            "celery", "-A", "apex", "beat", "--schedule", data / "scheduler" / "schedule", "--pidfile", "",
            "--loglevel", "INFO",
        ),
        ready_text="beat: Starting",
    )  # fmt: skip


def serving(url: str) -> Process:
    """Return the process that holds models and answers at `url`. It ends when idle: its memory is back."""
    return Process(name="serving", command=_python("serving.embedded", "--url", url), rests=True)


def vllm(host: str, port: int) -> Process:
    """Return the local vLLM; `manage.py serve_vllm` reads from the settings what it serves, and becomes it."""
    return Process(
        name="vllm",
        command=(sys.executable, str(ROOT / "manage.py"), "serve_vllm"),
        is_ready=lambda: status_of(host, port, "/health") == 200,
        # It answers while it computes; an engine that has died says 503.
        is_well=lambda: status_of(host, port, "/health", timeout=5) == 200,
    )


def chroma(data: Path, program: str, port: int) -> Process:
    """Return ChromaDB's own server (in Rust, never the one in Python), on loopback, its files in the data directory."""
    (data / "chroma").mkdir(mode=0o700, exist_ok=True)
    run = (program, "run", "--path", str(data / "chroma"), "--host", "127.0.0.1", "--port", str(port))
    return Process(
        name="chroma",
        command=("env", "ANONYMIZED_TELEMETRY=False", *run),
        is_ready=lambda: status_of("127.0.0.1", port, "/api/v2/heartbeat") == 200,
        is_well=lambda: status_of("127.0.0.1", port, "/api/v2/heartbeat", timeout=5) == 200,
    )


def healthz(host: str, port: int, host_header: str, timeout: float = 2.0) -> int | None:
    """Return the HTTP status of `/healthz`, or None if nothing answers within `timeout` seconds."""
    return status_of(host, port, "/healthz", host_header=host_header, timeout=timeout)


def status_of(
    host: str, port: int, path: str, *, host_header: str = "localhost", timeout: float = 2.0
) -> int | None:
    """Return the HTTP status of a GET, or None if nothing answers within `timeout` seconds."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host_header})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _python(module: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *map(str, arguments))
