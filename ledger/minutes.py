"""How much everybody may ask in a minute: what superusers said in the admin, else the environment."""

from __future__ import annotations

from django.conf import settings

from ledger.models import MinuteLimits

# Fields of `MinuteLimits` and the settings that count where they are empty; in the environment with APEX_ before it.
SETTINGS = {
    "requests_per_minute": "REQUESTS_PER_MINUTE",
    "tokens_per_minute": "TOKENS_PER_MINUTE",
    "calls_per_minute": "CALLS_PER_MINUTE",
}


def everybodys() -> dict[str, int]:
    """By field; 0: no limit. As the row stands now: one small query, so whoever asks often keeps it a while."""
    row = MinuteLimits.objects.first() or MinuteLimits()
    return {field: said(getattr(row, field), getattr(settings, name)) for field, name in SETTINGS.items()}


def limits_of(user, everybodys: dict[str, int]) -> dict[str, int]:
    """What holds for one person, by field."""
    return {field: said(getattr(user, field), most) for field, most in everybodys.items()}


def limit_of(user, field: str) -> int:
    """One of them; everybody's is looked up only where the person has none of their own."""
    own = getattr(user, field)
    return everybodys()[field] if own is None else own


def said(own: int | None, otherwise: int) -> int:
    return otherwise if own is None else own
