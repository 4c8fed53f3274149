"""How many calls a person and a token make in a minute beside questions to models: below `/api/v1`, and of files,
trainings, batches and lists of models below `/v1`. All web processes count together."""

from __future__ import annotations

from rest_framework.throttling import BaseThrottle

from accounts.models import ApiToken, User
from apex.common import rates
from apex.common.rates import TooMany
from ledger.minutes import limit_of


def take_call(user: User, token: ApiToken | None) -> dict[str, str]:
    """Counts one call, for the token where it has a limit of its own, and for its user.

    The `x-ratelimit-…` headers of that of the two which ends first; none where there is no limit. Raises `TooMany`.
    """
    own = take(f"token:{token.public_id}", token.requests_per_minute or 0) if token else {}
    others = take(f"user:{user.pk}", limit_of(user, "calls_per_minute"))
    return min((headers for headers in (own, others) if headers), key=remaining, default={})


def take(whose: str, limit: int) -> dict[str, str]:
    count = rates.count(f"calls:{whose}") if limit else None
    if count is None:
        return {}
    if count.used > limit:
        raise TooMany("requests", limit, limit, count.left)
    return rates.told("requests", limit, count.used, count.left)


def remaining(headers: dict[str, str]) -> int:
    return int(headers["x-ratelimit-remaining-requests"])


class CallsAMinute(BaseThrottle):
    """Of everybody who calls `/api/v1`; whoever is nobody yet is refused elsewhere."""

    def allow_request(self, request, view) -> bool:
        """Raises `TooMany`, which says more than a plain no."""
        if request.user.is_authenticated:
            # A minion's own token has no limit of calls; what its minion may be asked is counted there.
            take_call(request.user, request.auth if isinstance(request.auth, ApiToken) else None)
        return True
