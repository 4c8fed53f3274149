"""What every owned thing shares: an owner, an id that cannot be guessed, and the one scope door."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class OwnedQuerySet(models.QuerySet):
    """Start here from everything a user can reach: pages, API, sockets and the gateway."""

    def for_user(self, user):
        """Only the rows that this user owns; nothing for somebody who is not signed in."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(owner=user)


class OwnedModel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("owner")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True, db_index=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-created_at"]


class ImmutableModel(models.Model):
    """A row that is written once. Later saves raise; deleting is allowed."""

    class Meta:
        abstract = True

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise TypeError(f"{type(self).__name__} {self.pk} is immutable; make a new one.")
        super().save(*args, **kwargs)
