"""What people ask for: an API token, its end, a changed profile, a read bell."""

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import ApiToken, Notice, Scope, User
from apex.common.events import announce, user_group

ALL_SCOPES = tuple(Scope.values)


class BadToken(ValueError):
    """A token was asked for with a name or scopes that cannot be; the message says which."""


def create_token(*, user: User, name: str, scopes=ALL_SCOPES) -> tuple[ApiToken, str]:
    """Makes a token for `user` and returns it with its text, which is kept nowhere and cannot be shown again."""
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise BadToken(
            _("A token's name has 1 to 80 characters; this one has %(count)d.") % {"count": len(name)}
        )
    unknown = [scope for scope in scopes if scope not in Scope.values]
    if unknown or not scopes:
        found = ", ".join(unknown) or _("none")
        known = ", ".join(Scope.values)
        raise BadToken(
            _("A token needs scopes out of %(known)s; found: %(found)s.") % {"known": known, "found": found}
        )
    return ApiToken.objects.create(user=user, name=name, scopes=sorted(set(scopes)))


def revoke_token(*, token: ApiToken) -> None:
    """Ends a token at once: the next call with it is refused."""
    token.delete()


def save_profile(*, user: User, first_name: str, email: str, time_zone: str) -> User:
    """Keeps how a person is called, where they are reached, and the zone their dates show in."""
    user.first_name = first_name
    user.email = email
    user.time_zone = time_zone
    user.full_clean(exclude=["password"])
    user.save(update_fields=["first_name", "email", "time_zone"])
    return user


def read_notices(*, user: User, notices=None) -> int:
    """Marks the given notices of `user`, or all of them, as read; returns how many were new."""
    rows = Notice.objects.for_user(user) if notices is None else notices
    count = rows.filter(read_at=None).update(read_at=timezone.now())
    if count:
        announce(user_group(user.pk), {"type": "notice.read", "count": count})
    return count
