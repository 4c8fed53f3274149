"""Links by which people without an account rate the rows of one version, and nothing else."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.models import Act
from audit.services import record_act
from datasets_app.models import DatasetVersion, Review, ShareLink
from datasets_app.services.curation import BadReview, record_review, row_of

DEFAULT_DAYS, LONGEST_DAYS = 14, 365
GUESTS_PER_LINK = 200
NAME_LENGTH = 60
# What is asked of one guest or one address within a time: (how many, in how many seconds).
RATINGS_LIMIT = (240, 60)
GUESSES_LIMIT = (30, 600)


class BadLink(ValueError):
    """The link cannot be made as it was asked for; `str()` names the value, `field` says where."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Guest:
    """Somebody who came by a link. `mark` (8 hex digits) keeps two of the same name apart."""

    name: str
    mark: str

    @property
    def reviewer_name(self) -> str:
        return f"{self.name} #{self.mark}"


def make_share_link(
    *, version: DatasetVersion, label: str = "", days: int = DEFAULT_DAYS
) -> tuple[ShareLink, str]:
    """A link to rate this version, and its token, which is kept nowhere and cannot be shown again."""
    label = label.replace("\x00", "").strip()
    if len(label) > 80:
        message = _("The label has %(count)s characters; at most 80 are kept.")
        raise BadLink(message % {"count": len(label)}, "label")
    if not 1 <= days <= LONGEST_DAYS:
        message = _("The link would end in %(days)s days; expected 1 to %(limit)s.")
        raise BadLink(message % {"days": days, "limit": LONGEST_DAYS}, "days")
    token = secrets.token_urlsafe(32)
    link = ShareLink.objects.create(
        owner_id=version.owner_id,
        version=version,
        label=label,
        token_hash=hash_of(token),
        expires_at=timezone.now() + timedelta(days=days),
    )
    record_act(Act.SHARED, subject=version, label=label, days=days)
    return link, token


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def revoke_share_link(*, link: ShareLink) -> ShareLink:
    """Closes the link at once; what was rated by it stays."""
    if link.revoked_at is None:
        link.revoked_at = timezone.now()
        link.save(update_fields=["revoked_at"])
        record_act(Act.UNSHARED, subject=link.version, label=link.label)
    return link


def link_of(token: str) -> ShareLink | None:
    """The open link of this token; None for one that is unknown, ended, taken back, or whose rows are gone."""
    return (
        ShareLink.objects.filter(
            token_hash=hash_of(token),
            revoked_at=None,
            expires_at__gt=timezone.now(),
            owner__is_active=True,
            version__erased_at=None,
            version__dataset__erased_at=None,
        )
        .exclude(version__rows_sha256="")
        .select_related("version", "version__dataset")
        .first()
    )


def new_guest(*, name: str) -> Guest:
    """Raises BadLink when the name cannot be."""
    name = " ".join("".join(each for each in name if each.isprintable()).replace("#", " ").split())
    if not 1 <= len(name) <= NAME_LENGTH:
        message = _("A name has 1 to %(limit)s characters; this one has %(count)s.")
        raise BadLink(message % {"limit": NAME_LENGTH, "count": len(name)}, "name")
    return Guest(name, secrets.token_hex(4))


def rate_by_link(*, link: ShareLink, guest: Guest, number: int, key: str, **said: Any) -> Review | None:
    """Records what a guest thinks of a row: rating, tags and note only. Raises BadReview."""
    others = link.reviews.exclude(reviewer_name=guest.reviewer_name)
    if others.values("reviewer_name").distinct().count() >= GUESTS_PER_LINK:
        message = _("%(count)s people have rated by this link, which is all it takes. Ask for another one.")
        raise BadReview(message % {"count": GUESTS_PER_LINK}, "name")
    return record_review(
        owner=link.owner,
        reviewer_name=guest.reviewer_name,
        share=link,
        dataset=link.version.dataset,
        version=link.version,
        number=number,
        row=row_of(link.version, number, key),
        rating=said.get("rating"),
        tags=said.get("tags", []),
        note=said.get("note", ""),
        is_seen=said.get("is_seen", True),
    )


def is_within(limit: tuple[int, int], *who: str) -> bool:
    """Counts one more of whatever `who` names; False once it is more than the limit allows."""
    count, seconds = limit
    key = "share." + hashlib.sha256("\n".join(who).encode()).hexdigest()
    if cache.add(key, 1, seconds):
        return True
    try:
        return cache.incr(key) <= count
    except ValueError:  # it ended between the two
        return True
