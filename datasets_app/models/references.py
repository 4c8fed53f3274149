"""Data that stays where it is: an address, the way in, and what it looked like when it was checked."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.fetch import shown
from apex.common.models import ImmutableModel, OwnedModel


class ConnectionKind(models.TextChoices):
    HTTPS = "https", _("a web address with a token")
    S3 = "s3", _("S3 storage")
    GS = "gs", _("Google Cloud Storage")
    HF = "hf", _("Hugging Face")


class Connection(OwnedModel):
    """Stored credentials for references. `sealed` is opened by `apex.common.secrets` alone, and never shown."""

    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=10, choices=ConnectionKind)
    endpoint_url = models.URLField(_("address of the store"), max_length=300, blank=True)
    region = models.CharField(_("region"), max_length=40, blank=True)
    sealed = models.TextField(_("credentials, encrypted"), blank=True)
    hint = models.CharField(_("what tells it apart"), max_length=40, blank=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("connection")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="connection_name_is_unique_per_owner")
        ]

    def __str__(self) -> str:
        return self.name


class Reference(OwnedModel, ImmutableModel):
    """Where the bytes of a version are, and how to know that they are still the same.

    `etag` is the store's own mark of the content (ETag, generation, commit; modification time and size of a
    local file), `sha256` that of the bytes as they were read when they were checked.
    """

    uri = models.CharField(_("address"), max_length=2000)
    connection = models.ForeignKey(
        Connection, on_delete=models.RESTRICT, null=True, blank=True, related_name="references"
    )
    etag = models.CharField(_("mark of the content"), max_length=300, blank=True)
    size = models.BigIntegerField(_("size"), null=True, blank=True)
    sha256 = models.CharField(max_length=64)
    format = models.CharField(_("format"), max_length=40)
    checked_at = models.DateTimeField(_("checked"), auto_now_add=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("reference")

    def __str__(self) -> str:
        return self.shown_uri

    @property
    def shown_uri(self) -> str:
        """Without the query, which may sign it."""
        return shown(self.uri)
