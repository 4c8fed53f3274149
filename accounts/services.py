"""What people ask for: an API token, its end, a changed profile, a read bell."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import ApiToken, Notice, Scope, User
from apex.common.events import announce, user_group
from audit.models import Act
from audit.services import record_act

ALL_SCOPES = tuple(Scope.values)
MOST_MODELS = 100
MOST_A_MINUTE = 1_000_000
LONGEST_MODEL_NAME = 255


class BadToken(ValueError):
    """A token was asked for with a name or scopes that cannot be; the message says which."""


def create_token(
    *,
    user: User,
    name: str,
    scopes=ALL_SCOPES,
    model_names=(),
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
) -> tuple[ApiToken, str]:
    """Makes a token for `user` and returns it with its text, which is kept nowhere and cannot be shown again.

    It may ask the models of these names, or all where none is named, so many questions a minute (None: as its user),
    and ends at `expires_at`.
    """
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
    now = timezone.now()
    if expires_at is not None and expires_at <= now:
        raise BadToken(_("A token cannot end in the past (%(when)s).") % {"when": expires_at})
    if requests_per_minute is not None and not 1 <= requests_per_minute <= MOST_A_MINUTE:
        raise BadToken(
            _("The limit of a token is 1 to %(most)d questions a minute, not %(count)d.")
            % {"most": MOST_A_MINUTE, "count": requests_per_minute}
        )
    with transaction.atomic():
        token, text = ApiToken.objects.create(
            user=user,
            name=name,
            scopes=sorted(set(scopes)),
            model_names=clean_model_names(model_names),
            expiry=None if expires_at is None else expires_at - now,
            requests_per_minute=requests_per_minute,
        )
        told = {"scopes": token.scopes, "models": token.model_names, "expires_at": expires_at}
        record_act(Act.TOKEN_MADE, owner=user, subject=token, **told)
    return token, text


def clean_model_names(names) -> list[str]:
    """The names without blanks and repeats, in the order given. Raises BadToken."""
    found = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if len(found) > MOST_MODELS or any(len(name) > LONGEST_MODEL_NAME for name in found):
        raise BadToken(
            _("A token names at most %(most)d models, of at most %(long)d characters each.")
            % {"most": MOST_MODELS, "long": LONGEST_MODEL_NAME}
        )
    return found


def refuse_more_than(
    parent: ApiToken,
    *,
    scopes,
    model_names,
    expires_at: datetime | None,
    requests_per_minute: int | None = None,
) -> None:
    """A token that makes a token gives on no more than it has. Raises BadToken."""
    more = [scope for scope in scopes if not parent.has_scope(scope)]
    if more:
        raise BadToken(_("This token cannot give what it has not: %(found)s.") % {"found": ", ".join(more)})
    if parent.model_names and (not model_names or set(model_names) - set(parent.model_names)):
        raise BadToken(
            _("This token is for some models only (%(names)s); name some of these.")
            % {"names": ", ".join(parent.model_names)}
        )
    most = parent.requests_per_minute
    if most is not None and (requests_per_minute is None or requests_per_minute > most):
        raise BadToken(
            _("The limit of this token is %(most)d a minute; what it makes cannot have more.")
            % {"most": most}
        )
    if parent.expiry and (expires_at is None or expires_at > parent.expiry):
        raise BadToken(
            _("This token ends at %(when)s; what it makes cannot last longer.") % {"when": parent.expiry}
        )


def revoke_token(*, token: ApiToken) -> None:
    """Ends a token at once: the next call with it is refused."""
    with transaction.atomic():
        record_act(Act.TOKEN_REVOKED, owner=token.user, subject=token)
        token.delete()


def save_profile(
    *, user: User, first_name: str, email: str, time_zone: str, mails_budgets: bool | None = None
) -> User:
    """Keeps how a person is called, where they are reached, and about what (None: as before), and the zone their dates
    show in."""
    user.first_name = first_name
    user.email = email
    user.time_zone = time_zone
    if mails_budgets is not None:
        user.mails_budgets = mails_budgets
    user.full_clean(exclude=["password"])
    user.save(update_fields=["first_name", "email", "time_zone", "mails_budgets"])
    return user


def read_notices(*, user: User, notices=None) -> int:
    """Marks the given notices of `user`, or all of them, as read; returns how many were new."""
    rows = Notice.objects.for_user(user) if notices is None else notices
    count = rows.filter(read_at=None).update(read_at=timezone.now())
    if count:
        announce(user_group(user.pk), {"type": "notice.read", "count": count})
    return count
