"""Runs an aiohttp app on a port of 127.0.0.1, in a thread with a loop of its own."""

import asyncio
import socket
import threading
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def running_app(app: web.Application, *, port: int = 0):
    """Yields `http://127.0.0.1:PORT`; ends the server, with its connections, at the end."""
    loop = asyncio.new_event_loop()
    listening = socket.create_server(("127.0.0.1", port))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.SockSite(runner, listening).start()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=10)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()
