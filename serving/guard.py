"""Where a server's address that a user gave may lead: the same places as any other URL of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apex.common import fetch
from serving.protocol import ApiError


async def guard(url: str) -> list[str]:
    """The addresses to which a request to `url` may go now. Raises ApiError (400) with the reason."""
    with told():
        return await fetch.find_allowed_addresses(url)


def allowed_addresses(url: str) -> list[str]:
    """As `guard`, for callers outside an event loop (a form that checks what was typed)."""
    with told():
        return fetch.allowed_addresses(url)


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except fetch.FetchRefused as problem:
        raise ApiError(str(problem), param="address", code="address_refused") from problem
    except fetch.FetchFailed as problem:
        raise ApiError(str(problem), status=503, kind="server_error", code="backend_unavailable") from problem
