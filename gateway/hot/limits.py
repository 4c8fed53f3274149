"""How much a person and a token may ask in a minute, counted in this process; and the headers that tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from apex.common.rates import MINUTE, TooMany, told
from gateway.hot.callers import Caller

Headers = list[tuple[bytes, bytes]]


def encoded(headers: dict[str, str]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


@dataclass(slots=True)
class Window:
    """A minute from its first request on. Within it never more is taken than the limit."""

    begun: float
    requests: int = 0
    tokens: int = 0


class Limits:
    """Of all who ask this process, by user, and by token where it has a limit of its own. A limit of 0 is none.

    Tokens are known when an answer has ended: whoever has used them up is refused, answers under way end.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._windows: dict[int | str, Window] = {}

    def take(self, caller: Caller) -> Window:
        """Counts one request; raises `TooMany`, and then counts none. The user's window."""
        window, own = self._window(caller.user.pk), self._of_token(caller)
        if own is not None and own.requests >= caller.token_requests:
            raise TooMany("requests", caller.token_requests, own.requests, self.left(own))
        if caller.requests_per_minute and window.requests >= caller.requests_per_minute:
            raise TooMany("requests", caller.requests_per_minute, window.requests, self.left(window))
        if caller.tokens_per_minute and window.tokens >= caller.tokens_per_minute:
            raise TooMany("tokens", caller.tokens_per_minute, window.tokens, self.left(window))
        window.requests += 1
        if own is not None:
            own.requests += 1
        return window

    def _of_token(self, caller: Caller) -> Window | None:
        return self._window(caller.token_id) if caller.token_requests else None

    def used(self, caller: Caller, tokens: int) -> None:
        self._window(caller.user.pk).tokens += tokens

    def headers(self, caller: Caller, window: Window) -> Headers:
        """`x-ratelimit-*` for what has a limit."""
        said: dict[str, str] = {}
        requests, most, own = window, caller.requests_per_minute, self._of_token(caller)
        # Of the two limits that which ends first.
        if own is not None and (not most or caller.token_requests - own.requests < most - window.requests):
            requests, most = own, caller.token_requests
        for what, limit, used, counted in (
            ("requests", most, requests.requests, requests),
            ("tokens", caller.tokens_per_minute, window.tokens, window),
        ):
            if limit:
                said |= told(what, limit, used, self.left(counted))
        return encoded(said)

    def left(self, window: Window) -> float:
        """Seconds until the window's counts are forgotten."""
        return max(0.0, window.begun + MINUTE - self._clock())

    def _window(self, whose: int | str) -> Window:
        now = self._clock()
        window = self._windows.get(whose)
        if window is None or now - window.begun >= MINUTE:
            if len(self._windows) > 10_000:
                self._windows = {
                    one: kept for one, kept in self._windows.items() if now - kept.begun < MINUTE
                }
            window = self._windows[whose] = Window(now)
        return window
