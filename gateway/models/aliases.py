"""Names by which old scripts call models, such as `gpt-4o-mini`, and what answers to them here."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from base_models.models import BaseModel


class AliasQuerySet(models.QuerySet):
    def for_user(self, user):
        """One's own, and those of the house."""
        return self.filter(Q(owner=user) | Q(owner=None)) if user.is_authenticated else self.none()

    def of(self, user):
        """One's own, which one may change."""
        return self.filter(owner=user) if user.is_authenticated else self.none()


class ModelAlias(models.Model):
    """Another name of a base model: for its owner alone, or without an owner for the whole house."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+",
        verbose_name=_("owner"), help_text=_("Empty: it holds for everybody."),
    )  # fmt: skip
    name = models.CharField(_("name"), max_length=120, help_text=_("As programs call it: gpt-4o-mini."))
    base_model = models.ForeignKey(
        BaseModel, on_delete=models.CASCADE, related_name="+", verbose_name=_("base model")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = AliasQuerySet.as_manager()

    class Meta:
        verbose_name = _("model alias")
        verbose_name_plural = _("model aliases")
        ordering = ["name", "created_at"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="one_alias_per_owner_and_name"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(owner=None), name="one_alias_of_the_house_per_name"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} → {self.base_model}"
