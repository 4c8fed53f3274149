"""Django's database from beside Django: in a thread, with a connection that is as well as one of a request."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections

T = TypeVar("T")


async def in_database(act: Callable[..., T], *arguments) -> T:
    """Calls `act` in a thread; its connection is closed or renewed as between two requests."""
    return await asyncio.to_thread(_with_connection, act, *arguments)


async def in_database_behind(act: Callable[..., T], *arguments) -> T:
    """The same, one after another in a thread that gives way to those who are answered."""
    return await asyncio.get_running_loop().run_in_executor(
        _behind, partial(_with_connection, act, *arguments)
    )


async def as_a_request(act: Callable[..., Awaitable[T]], *arguments) -> T:
    """Awaits `act`, whose synchronous parts share one thread and one connection, as those of a request do."""
    async with ThreadSensitiveContext():
        try:
            return await act(*arguments)
        finally:
            await sync_to_async(close_old_connections)()


def _give_way() -> None:
    """On Linux a thread has a niceness of its own. Elsewhere it would be that of the whole process: left as it is."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)


_behind = ThreadPoolExecutor(1, thread_name_prefix="gateway-behind", initializer=_give_way)


def _with_connection(act: Callable[..., T], *arguments) -> T:
    close_old_connections()
    try:
        return act(*arguments)
    finally:
        close_old_connections()
