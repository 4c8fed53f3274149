"""Page-shaped reads: what stands behind the bell, which tokens act for a person."""

from accounts.models import ApiToken, Notice, User

NOTICES_SHOWN = 20


def bell(user: User) -> dict:
    """`notices`: the newest ones; `unread`: how many of all are new."""
    rows = Notice.objects.for_user(user)
    return {
        "notices": rows.order_by("-created_at")[:NOTICES_SHOWN],
        "unread": rows.filter(read_at=None).count(),
    }


def tokens_of(user: User):
    """The user's own tokens, newest first; the hash is never part of a page."""
    return ApiToken.objects.filter(user=user).order_by("-created")
