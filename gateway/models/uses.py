"""What was asked and what it took: a row a request, for owners, limits and the books."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class GatewayUseQuerySet(models.QuerySet):
    def for_user(self, user):
        """Only what this user asked; nothing for somebody who is not signed in."""
        return self.filter(user=user) if user.is_authenticated else self.none()


class GatewayUse(models.Model):
    """One request to `/v1/chat/completions`, `/v1/completions` or `/v1/embeddings`, alone or in a batch.

    It outlives its token and its adapter. Token counts are the server's; where an answer broke off before it told
    them, `is_estimated` and only `completion_tokens`, by the chunks that came.
    """

    class Endpoint(models.TextChoices):
        CHAT = "chat", _("chat")
        COMPLETIONS = "completions", _("completions")
        EMBEDDINGS = "embeddings", _("embeddings")

    at = models.DateTimeField(_("when"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("user")
    )
    token_id = models.UUIDField(_("API token"))
    request_id = models.CharField(_("request"), max_length=40, unique=True)
    endpoint = models.CharField(_("endpoint"), max_length=12, choices=Endpoint)
    model = models.CharField(_("model"), max_length=255, help_text=_("As it was asked for."))
    adapter_id = models.UUIDField(_("adapter"), null=True)
    status = models.PositiveSmallIntegerField(
        _("status"), help_text=_("Of HTTP; 499: the client left before the end.")
    )
    is_stream = models.BooleanField(_("streamed"), default=False)
    prompt_tokens = models.PositiveIntegerField(_("tokens in"), null=True)
    completion_tokens = models.PositiveIntegerField(_("tokens out"), null=True)
    is_estimated = models.BooleanField(_("estimated"), default=False)
    first_byte_ms = models.FloatField(_("to the first byte, ms"), null=True)
    latency_ms = models.FloatField(_("to the last byte, ms"))

    objects = GatewayUseQuerySet.as_manager()

    class Meta:
        verbose_name = _("use of the gateway")
        verbose_name_plural = _("uses of the gateway")
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["user", "at"], name="gateway_use_user_at"),
            models.Index(fields=["token_id", "at"], name="gateway_use_token_at"),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.status} {self.at:%Y-%m-%d %H:%M:%S}"
