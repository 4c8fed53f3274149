"""`python -m serving.embedded`: serve until told to stop, or until the model was not asked for a while."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from rendering.light_imports import leave_out_unused
from serving.embedded.app import App
from serving.embedded.worker import Worker

log = logging.getLogger("serving.embedded")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when idle or told to stop, so that whoever watches it starts a fresh, light process."""
    options = _parser().parse_args(arguments)
    # Nothing here may ever reach for the network, whatever a model directory asks for.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that spin while they wait made each token nine times slower with a training beside (decision 51).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(
        level=os.environ.get("APEX_LOG_LEVEL", "INFO"),
        format="{asctime} {levelname} {name}: {message}",
        style="{",
        stream=sys.stderr,
    )
    leave_out_unused()
    return asyncio.run(serve(listen_at(options.url), options.idle_seconds))


async def serve(place: dict, idle_seconds: float) -> int:
    """Runs until a signal comes, or no request needed the loaded models for `idle_seconds`."""
    worker = Worker()
    app = App(worker)
    config = uvicorn.Config(
        app, **place, log_config=None, access_log=False, timeout_keep_alive=75, timeout_graceful_shutdown=5,
        # Its peers are on this machine and trusted; the gateway is the one that faces people.
        proxy_headers=False, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    watch = asyncio.create_task(_stop_when_idle(server, app, idle_seconds))
    try:
        await server.serve()
    finally:
        watch.cancel()
        worker.stop()
        if server.started and "uds" in place:
            # A socket without anybody behind it says that the process was killed.
            Path(place["uds"]).unlink(missing_ok=True)
    return 0 if server.started else 1


async def _stop_when_idle(server: uvicorn.Server, app: App, idle_seconds: float) -> None:
    """A process that never loaded a model is light already and stays."""
    while not server.should_exit:
        await asyncio.sleep(min(1.0, idle_seconds / 4))
        if app.worker.is_heavy and app.idle_seconds >= idle_seconds:
            log.info("no question for %.0f s: stopping, to give the memory back", idle_seconds)
            server.should_exit = True


def listen_at(url: str) -> dict:
    """uvicorn's `uds` or `host` and `port` for `unix:///path.sock` or `http://127.0.0.1:port`."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        path = Path(parts.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A socket that a killed process left behind would keep the next one from listening.
        path.unlink(missing_ok=True)
        return {"uds": str(path)}
    if parts.scheme == "http" and parts.hostname and parts.port:
        return {"host": parts.hostname, "port": parts.port}
    raise SystemExit(f"--url is {url!r}; it must look like unix:///path.sock or http://127.0.0.1:8101")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.embedded", description=__doc__)
    url = os.environ.get("APEX_EMBEDDED_URL")
    idle = float(os.environ.get("APEX_EMBEDDED_IDLE_SECONDS", "600"))
    parser.add_argument(
        "--url", default=url, required=url is None, help="unix:///path.sock or http://127.0.0.1:port"
    )
    parser.add_argument(
        "--idle-seconds", type=float, default=idle, help="stop after so long without a question"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
