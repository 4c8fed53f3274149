"""Acts, filtered for the page and the API."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q, QuerySet

from audit.models import AuditEvent


def acts_for(
    user,
    *,
    everybody: bool = False,
    act: str = "",
    via: str = "",
    by: str = "",
    q: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet:
    """The user's own, newest first; everybody's for a superuser who asks so. Days are in UTC, both within."""
    rows = AuditEvent.objects.all() if everybody and user.is_superuser else AuditEvent.objects.for_user(user)
    if act:
        rows = rows.filter(act=act)
    if via:
        rows = rows.filter(via=via)
    if by:
        rows = rows.filter(owner_name__icontains=by)
    if q:
        rows = rows.filter(Q(subject_name__icontains=q) | Q(subject_kind__icontains=q) | Q(subject_id=q))
    if since:
        rows = rows.filter(at__gte=datetime.combine(since, time(), tzinfo=UTC))
    if until:
        rows = rows.filter(at__lt=datetime.combine(until + timedelta(days=1), time(), tzinfo=UTC))
    return rows.order_by("-at", "-pk")
