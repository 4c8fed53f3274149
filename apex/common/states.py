"""The only way to change a status: one conditional UPDATE, so that of two racers exactly one wins."""

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.utils import timezone


def move(
    row: models.Model, to: str, *, moves: Mapping[str, set[str]], where: dict | None = None, **changes
) -> bool:
    """Moves `row.status` to `to` if its status in the database allows it, together with `changes`.

    `moves` maps each status to those that may follow. `where` adds conditions (a fencing token, say).
    Returns whether this call made the move; the row in memory is brought up to date if it did.
    """
    allowed = [status for status, after in moves.items() if to in after]
    rows = type(row)._base_manager.filter(pk=row.pk, status__in=allowed, **(where or {}))
    won = rows.update(status=to, **changes) == 1
    if won:
        row.status = to
        for field, value in changes.items():
            setattr(row, field, value)
    return won


def hold(model: type[models.Model], key: Any, *, status: str, where: dict, **changes) -> bool:
    """Writes `changes` and a heartbeat (`heartbeat_at`) if the row is still in `status` and the worker's; says whether.

    `where` is the fencing token that the worker got when it took the row.
    """
    rows = model._base_manager.filter(pk=key, status=status, **where)
    return rows.update(heartbeat_at=timezone.now(), **changes) == 1
