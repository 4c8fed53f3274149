"""What the framework tells of: signing in and out, and what is done in the admin."""

from __future__ import annotations

import json

from allauth.account.signals import password_changed, password_reset, user_signed_up
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry, LogEntryManager
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_save

from audit.models import Act
from audit.services import record_act

ADMIN_ACTS = {ADDITION: Act.ADMIN_ADDED, CHANGE: Act.ADMIN_CHANGED}


def connect() -> None:
    for signal, told in (
        (user_logged_in, on_login),
        (user_logged_out, on_logout),
        (user_login_failed, on_failed_login),
        (user_signed_up, on_signed_up),
        (password_changed, on_password),
        (password_reset, on_password),
    ):
        signal.connect(told, dispatch_uid=f"audit.{told.__name__}.{id(signal)}")
    post_save.connect(on_admin_act, sender=LogEntry, dispatch_uid="audit.on_admin_act")
    # Several things deleted at once are written by `bulk_create`, which sends no signal; a manager of our own would
    # have Django ask for a migration of its admin.
    LogEntryManager.bulk_create = told_at_once


def told_at_once(self, entries, *args, **kwargs):
    made = self.get_queryset().bulk_create(entries, *args, **kwargs)
    for entry in made:
        on_admin_act(LogEntry, instance=entry, created=True)
    return made


def on_login(sender, user, **more) -> None:
    record_act(Act.LOGIN, owner=user)


def on_logout(sender, user, **more) -> None:
    if user is not None:
        record_act(Act.LOGOUT, owner=user)


def on_failed_login(sender, credentials, **more) -> None:
    """Only an account's name is kept: one that is nobody's is often the password, typed one field too early."""
    name = str(credentials.get("username") or credentials.get("email") or "")
    user = get_user_model().objects.filter(username__iexact=name).first() if name else None
    record_act(Act.LOGIN_FAILED, owner=user, owner_name="?")


def on_signed_up(sender, user, **more) -> None:
    record_act(Act.SIGNED_UP, owner=user)


def on_password(sender, user, **more) -> None:
    record_act(Act.PASSWORD_CHANGED, owner=user)


def on_admin_act(sender, instance: LogEntry, created: bool, **more) -> None:
    if not created:
        return
    kind = instance.content_type.name if instance.content_type else ""
    record_act(
        ADMIN_ACTS.get(instance.action_flag, Act.ADMIN_DELETED),
        owner=instance.user,
        subject=kind,
        name=instance.object_repr,
        id=instance.object_id,
        fields=fields_of(instance),
    )


def fields_of(entry: LogEntry) -> list[str]:
    """The names of the fields that were changed; their values are in no log."""
    message = entry.change_message
    parts = message if isinstance(message, list) else []
    if isinstance(message, str) and message.startswith("["):
        parts = json.loads(message)
    return [str(name) for part in parts for act in part.values() for name in act.get("fields", [])]
