"""What was done, by whom: rows that are written and never changed."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedQuerySet


class Act(models.TextChoices):
    LOGIN = "login", _("signed in")
    LOGIN_FAILED = "login_failed", _("tried to sign in")
    LOGOUT = "logout", _("signed out")
    SIGNED_UP = "signed_up", _("made an account")
    PASSWORD_CHANGED = "password_changed", _("changed the password")  # noqa: S105
    TOKEN_MADE = "token_made", _("made an API token")  # noqa: S105
    TOKEN_USED = "token_used", _("used an API token")  # noqa: S105
    TOKEN_REVOKED = "token_revoked", _("ended an API token")  # noqa: S105
    KEY_ADDED = "key_added", _("added a key")
    KEY_CHANGED = "key_changed", _("changed a key")
    KEY_USED = "key_used", _("used a key")
    KEY_SHARED = "key_shared", _("shared a key")
    KEY_REVEALED = "key_revealed", _("had a key shown")
    KEY_DELETED = "key_deleted", _("deleted a key")
    DEPLOYED = "deployed", _("put to work")
    UNDEPLOYED = "undeployed", _("took down")
    EXPORTED = "exported", _("exported")
    SHARED = "shared", _("shared by a link")
    UNSHARED = "unshared", _("ended a link")
    DELETED = "deleted", _("deleted")
    BUDGET_SET = "budget_set", _("set a budget")
    BUDGET_REMOVED = "budget_removed", _("removed a budget")
    ADMIN_ADDED = "admin_added", _("added in the admin")
    ADMIN_CHANGED = "admin_changed", _("changed in the admin")
    ADMIN_DELETED = "admin_deleted", _("deleted in the admin")


class Way(models.TextChoices):
    PAGE = "page", _("page")
    API = "api", _("API")
    ADMIN = "admin", _("admin")
    SYSTEM = "system", _("Apex itself")


class EventQuerySet(OwnedQuerySet):
    """Refuses what the database would refuse too, in a sentence."""

    def update(self, **changes):
        raise TypeError("What was done is never changed.")

    def delete(self):
        raise TypeError("What was done is never deleted.")

    bulk_update = update


class AuditEvent(models.Model):
    """One act. `owner` is the account that did it, or as which somebody tried to sign in; none where it is no account.

    It outlives accounts and things, whose names it keeps as they were. `detail` never holds a secret.
    """

    at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, null=True,
        related_name="+", verbose_name=_("account"),
    )  # fmt: skip
    owner_name = models.CharField(_("by"), max_length=150, blank=True)
    act = models.CharField(_("act"), max_length=20, choices=Act, db_index=True)
    subject_kind = models.CharField(_("kind of thing"), max_length=60, blank=True)
    subject_id = models.CharField(_("id of the thing"), max_length=80, blank=True)
    subject_name = models.CharField(_("thing"), max_length=200, blank=True)
    via = models.CharField(_("by what way"), max_length=8, choices=Way, default=Way.SYSTEM)
    address = models.CharField(_("from"), max_length=45, blank=True)
    token_id = models.UUIDField(_("API token"), null=True)
    detail = models.JSONField(_("more"), default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("act")
        verbose_name_plural = _("acts")
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.owner_name} {self.get_act_display()} {self.subject_name}"

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise TypeError("What was done is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        raise TypeError("What was done is never deleted.")
