"""How much a person may ask in a minute, counted in this process; and the headers that tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.hot.callers import Caller
from serving.protocol import ApiError

MINUTE = 60.0
Headers = list[tuple[bytes, bytes]]


class TooMany(ApiError):
    """429, with the seconds after which there is room again."""

    def __init__(self, what: str, limit: int, used: int, seconds: float):
        super().__init__(
            f"Rate limit reached for {what} per minute: limit {limit}, used {used}. "
            f"Please try again in {duration(seconds)}.",
            status=429, kind=what, code="rate_limit_exceeded",
        )  # fmt: skip
        self.retry_after = max(1, round(seconds + 0.5))


@dataclass(slots=True)
class Window:
    """A minute from its first request on. Within it never more is taken than the limit."""

    begun: float
    requests: int = 0
    tokens: int = 0


class Limits:
    """Of all who ask this process, by user. A limit of 0 is none.

    Tokens are known when an answer has ended: whoever has used them up is refused, answers under way end.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._windows: dict[int, Window] = {}

    def take(self, caller: Caller) -> Window:
        """Counts one request; raises `TooMany`, and then counts none."""
        window = self._window(caller.user.pk)
        if caller.requests_per_minute and window.requests >= caller.requests_per_minute:
            raise TooMany("requests", caller.requests_per_minute, window.requests, self.left(window))
        if caller.tokens_per_minute and window.tokens >= caller.tokens_per_minute:
            raise TooMany("tokens", caller.tokens_per_minute, window.tokens, self.left(window))
        window.requests += 1
        return window

    def used(self, caller: Caller, tokens: int) -> None:
        self._window(caller.user.pk).tokens += tokens

    def headers(self, caller: Caller, window: Window) -> Headers:
        """`x-ratelimit-*` for what has a limit."""
        told: Headers = []
        reset = duration(self.left(window)).encode()
        for what, limit, used in (
            (b"requests", caller.requests_per_minute, window.requests),
            (b"tokens", caller.tokens_per_minute, window.tokens),
        ):
            if limit:
                told += (
                    (b"x-ratelimit-limit-" + what, b"%d" % limit),
                    (b"x-ratelimit-remaining-" + what, b"%d" % max(0, limit - used)),
                    (b"x-ratelimit-reset-" + what, reset),
                )
        return told

    def left(self, window: Window) -> float:
        """Seconds until the window's counts are forgotten."""
        return max(0.0, window.begun + MINUTE - self._clock())

    def _window(self, user_id: int) -> Window:
        now = self._clock()
        window = self._windows.get(user_id)
        if window is None or now - window.begun >= MINUTE:
            if len(self._windows) > 10_000:
                self._windows = {
                    one: kept for one, kept in self._windows.items() if now - kept.begun < MINUTE
                }
            window = self._windows[user_id] = Window(now)
        return window


def duration(seconds: float) -> str:
    """As OpenAI writes one: `120ms`, `6.5s`, `1m0s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < MINUTE:
        return f"{seconds:.3g}s"
    return f"{int(seconds // MINUTE)}m{int(seconds % MINUTE)}s"
