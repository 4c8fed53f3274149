"""What minions are called, for the ledger (`settings.MINION_NAMES`), which imports no app above it."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from minions.models import Minion


def names_of(keys: Iterable[UUID]) -> dict[UUID, str]:
    """Those that are still there."""
    return dict(Minion.objects.filter(pk__in=list(keys)).values_list("pk", "name"))
