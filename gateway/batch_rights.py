"""Whether what a batch was made with still stands: the account, and the API token that sent it."""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiToken, User
from gateway.models import Batch

# By the code that a call would be refused with, or nearly. Which of the two a token met is not told apart: one that has
# expired is deleted at its user's next call.
WORDS = {
    "account_deactivated": "The batch was cancelled: the account that sent it was deactivated.",
    "invalid_api_key": "The batch was cancelled: the API token that sent it was revoked or has expired.",
}


def lost_right(batch: Batch) -> str | None:
    """The code of why nothing more may be asked for it, as the database has it now; None while all is well.

    A batch from before its token was kept has only its account behind it.
    """
    if batch.token_id is not None:
        tokens = ApiToken.objects.filter(public_id=batch.token_id, user_id=batch.owner_id)
        good = tokens.filter(Q(expiry=None) | Q(expiry__gt=timezone.now()), user__is_active=True)
        if good.exists():
            return None
    if not User.objects.filter(pk=batch.owner_id, is_active=True).exists():
        return "account_deactivated"
    return None if batch.token_id is None else "invalid_api_key"
