"""Django's database from beside Django: in a thread, with a connection that is as well as one of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections

T = TypeVar("T")


async def in_database(act: Callable[..., T], *arguments) -> T:
    """Calls `act` in a thread; its connection is closed or renewed as between two requests."""
    return await asyncio.to_thread(_with_connection, act, *arguments)


async def as_a_request(act: Callable[..., Awaitable[T]], *arguments) -> T:
    """Awaits `act`, whose synchronous parts share one thread and one connection, as those of a request do."""
    async with ThreadSensitiveContext():
        try:
            return await act(*arguments)
        finally:
            await sync_to_async(close_old_connections)()


def _with_connection(act: Callable[..., T], *arguments) -> T:
    close_old_connections()
    try:
        return act(*arguments)
    finally:
        close_old_connections()
