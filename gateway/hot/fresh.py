"""Values that are looked up many at once, beside the requests, and are never older than they may be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Entry(Generic[V]):
    value: V
    at: float  # when the look-up began: the value is at least that new


class Fresh(Generic[K, V]):
    """Keeps what `load` finds. A value of `soft` seconds is renewed beside the requests, one of `hard` before them.

    `load` takes the keys that are wanted now and returns what it found: a value, or an exception that whoever asks
    shall get; a key that it leaves out has none any more. Keys of the same moment are looked up in one call, or with
    `one_by_one` each in its own, so that none waits for another. At most `most` values are kept.
    """

    def __init__(
        self,
        load: Callable[[list[K]], Awaitable[dict[K, V | Exception]]],
        *,
        soft: float,
        hard: float,
        most: int = 10_000,
        one_by_one: bool = False,
        clock: Callable[[], float] | None = None,
    ):
        self._load, self._soft, self._hard, self._most = load, soft, hard, most
        self._entries: dict[K, Entry[V]] = {}
        self._wanted: dict[K, asyncio.Future] = {}
        self._under_way: dict[K, asyncio.Future] = {}
        self._tasks: set[asyncio.Task] = set()
        self._one_by_one = one_by_one
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time

    def peek(self, key: K) -> V | None:
        """The value if it is fresh enough, without waiting."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._clock() - entry.at
        if age > self._soft:
            self._want(key)
        return entry.value if age <= self._hard else None

    async def get(self, key: K) -> V | None:
        """The value, looked up if need be; None where there is none. Raises what the look-up says."""
        value = self.peek(key)
        if value is not None:
            return value
        # Several may wait for the same look-up; one of them that gives up must not end it for the others.
        return await asyncio.shield(self._want(key))

    def drop(self, key: K) -> None:
        """The value is known to be wrong: the next one who asks waits for a new one."""
        self._entries.pop(key, None)

    def _want(self, key: K) -> asyncio.Future:
        if key in self._wanted:
            return self._wanted[key]
        # One that is under way may have read what was true before a `drop`; who has a value can wait for it.
        if key in self._under_way and key in self._entries:
            return self._under_way[key]
        future = self._wanted[key] = self._loop.create_future()
        future.add_done_callback(_look_at)
        if len(self._wanted) == 1:  # those of the same moment are looked up together
            self._loop.call_soon(self._begin)
        return future

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, {}
        batches = [{key: future} for key, future in wanted.items()] if self._one_by_one else [wanted]
        for batch in batches:
            self._under_way |= batch
            task = self._loop.create_task(self._look_up(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_up(self, wanted: dict[K, asyncio.Future]) -> None:
        begun = self._clock()
        try:
            found = await self._load(list(wanted))
        except Exception as problem:  # whoever waits gets it; what is known stays until it is too old
            found = dict.fromkeys(wanted, problem)
            is_known_still = True
        else:
            is_known_still = False
        for key, future in wanted.items():
            if self._under_way.get(key) is future:
                del self._under_way[key]
            value = found.get(key)
            if not is_known_still:
                # Out and in again: the one that was not renewed for longest stands first.
                self._entries.pop(key, None)
            if isinstance(value, Exception):
                future.set_exception(value)
                continue
            if value is not None:
                self._entries[key] = Entry(value, begun)
            future.set_result(value)
        while len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]


def _look_at(future: asyncio.Future) -> None:
    """Nobody waits for what is renewed in advance; an exception there is no forgotten one."""
    if not future.cancelled():
        future.exception()
