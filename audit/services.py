"""The one place where acts are written down."""

from __future__ import annotations

from typing import Any

from django.db import models

from apex.common.acting import acting
from audit.models import AuditEvent

LONGEST_DETAIL = 500  # characters of each text


def record_act(
    act: str, *, owner=None, behalf_of=None, subject: Any = None, name: str = "", **detail: Any
) -> AuditEvent:
    """Writes down that `owner` did something, in the transaction of what was done.

    Without one: whoever makes the request; outside of requests, whoever it is done for (`behalf_of`), else the owner of
    `subject`. So where a superuser acts for somebody, it is the superuser who did it.

    `subject` is the row that it was done to, or its kind as a text; `name` its name, else what the row says of itself.
    `detail`: a few plain values, never a secret.
    """
    now = acting()
    who = owner if owner is not None else now.user or behalf_of or getattr(subject, "owner", None)
    if who is not None and not getattr(who, "is_authenticated", False):
        who = None
    stand_in = str(detail.pop("owner_name", ""))  # where it is no account's
    is_row = isinstance(subject, models.Model)
    return AuditEvent.objects.create(
        owner_id=who.pk if who else None,
        owner_name=who.get_username() if who else stand_in[:150],
        act=act,
        subject_kind=str(subject._meta.verbose_name if is_row else subject or "")[:60],
        subject_id=str(getattr(subject, "public_id", subject.pk))[:80] if is_row else "",
        subject_name=(name or (str(subject) if is_row else ""))[:200],
        via=now.via,
        address=now.address[:45],
        token_id=now.token_id,
        detail={key: plain(value) for key, value in detail.items()},
    )


def plain(value: Any) -> Any:
    """As JSON has it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple, set)):
        return [plain(one) for one in value]
    return str(value)[:LONGEST_DETAIL]
