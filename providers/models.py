"""Keys to providers, sealed and bound to their row, and prices that a superuser knows better."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from audit.models import Act
from audit.services import record_act
from providers.registry import all_providers

NOTED_EVERY = timedelta(minutes=1)


class ProviderKeyQuerySet(OwnedQuerySet):
    def usable_by(self, user):
        """The user's own, and those that a superuser shares with everybody or with them.

        A share ends with its giver: of somebody who is no superuser any more nothing is lent.
        """
        if not user.is_authenticated:
            return self.none()
        lent = Q(owner__is_superuser=True, owner__is_active=True) & (Q(is_shared=True) | Q(shared_with=user))
        return self.filter(Q(owner=user) | lent).distinct()


class ProviderKey(OwnedModel):
    """What opens a provider. `sealed_key` is opened by `providers.services` alone, and never shown; empty where the
    provider wants none. `base_url` is for providers that are wherever their user says."""

    provider = models.CharField(_("provider"), max_length=40)
    name = models.CharField(_("name"), max_length=80)
    sealed_key = models.TextField(_("key, encrypted"), blank=True, editable=False)
    hint = models.CharField(_("what tells it apart"), max_length=10, blank=True, editable=False)
    base_url = models.CharField(_("address"), max_length=300, blank=True)
    is_shared = models.BooleanField(
        _("for everybody"), default=False, help_text=_("Everybody may use it; nobody sees it.")
    )
    shared_with = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="+", verbose_name=_("for these people")
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    tested_at = models.DateTimeField(_("tested"), null=True, blank=True)
    problem = models.CharField(_("what the last test found wrong"), max_length=700, blank=True)

    objects = ProviderKeyQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("provider key")
        constraints = [
            models.UniqueConstraint(fields=["owner", "provider", "name"], name="provider_key_name_is_unique")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.provider})"

    @property
    def label(self) -> str:
        """The provider's name for people; of a plug-in that is gone, its own."""
        made = all_providers().get(self.provider)
        return made.label if made else self.provider

    def note_use(self, by=None) -> None:
        """Keeps when it was last used, at most once a minute; the audit log is told when its use begins, and by whom:
        who lends a key does not use it."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > NOTED_EVERY:
            if self.last_used_at is None or now - self.last_used_at > timedelta(hours=1):
                record_act(Act.KEY_USED, behalf_of=by, subject=self, provider=self.provider)
            type(self).objects.filter(pk=self.pk).update(last_used_at=now)
            self.last_used_at = now


class PriceOverride(models.Model):
    """What a model costs, in dollars for a million tokens, where a superuser knows it better than the price list.

    `model` may end in `*`; the longest that fits counts.
    """

    provider = models.CharField(_("provider"), max_length=40)
    model = models.CharField(_("model"), max_length=200, help_text=_("An id, or its beginning and a *."))
    input_price = models.DecimalField(_("$ per million tokens read"), max_digits=12, decimal_places=6)
    output_price = models.DecimalField(_("$ per million tokens written"), max_digits=12, decimal_places=6)
    cached_price = models.DecimalField(
        _("$ per million tokens known already"), max_digits=12, decimal_places=6, null=True, blank=True,
        help_text=_("Empty: as for other tokens that are read."),
    )  # fmt: skip
    note = models.CharField(_("where it stands"), max_length=200, blank=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("price")
        ordering = ["provider", "model"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "model"], name="price_is_set_once"),
            models.CheckConstraint(
                condition=Q(input_price__gte=0, output_price__gte=0), name="price_is_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.model}"
