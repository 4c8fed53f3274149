"""Who acts just now, and by what way: kept for as long as a request lasts, read by the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Acting:
    """`via`: page, api, admin, or system for whatever is no request. `user` may be a lazy one."""

    via: str = "system"
    address: str = ""
    user: Any = None
    token_id: Any = None


_current: ContextVar[Acting | None] = ContextVar("acting", default=None)


def acting() -> Acting:
    return _current.get() or Acting()


def note_token(user, token_id) -> None:
    """The request turned out to be made with this API token."""
    if found := _current.get():
        found.user, found.token_id = user, token_id


@contextmanager
def acting_as(found: Acting) -> Iterator[None]:
    before = _current.set(found)
    try:
        yield
    finally:
        _current.reset(before)
