"""Examples on their way in: an upload that may stop and go on, a reference to check, a version to derive."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel

from .datasets import Dataset, DatasetVersion
from .references import Connection


class ImportSource(models.TextChoices):
    UPLOAD = "upload", _("an upload")
    REFERENCE = "reference", _("a reference")
    DERIVED = "derived", _("made from a version")


class ImportStatus(models.TextChoices):
    RECEIVING = "receiving", _("receiving")
    QUEUED = "queued", _("waiting to be checked")
    CHECKING = "checking", _("being checked")
    DONE = "done", _("done")
    REFUSED = "refused", _("refused")  # the file said no; the report says why
    CRASHED = "crashed", _("broke off")  # we broke
    CANCELLED = "cancelled", _("cancelled")


IMPORT_MOVES: dict[str, set[str]] = {
    ImportStatus.RECEIVING: {ImportStatus.QUEUED, ImportStatus.CANCELLED, ImportStatus.CRASHED},
    ImportStatus.QUEUED: {ImportStatus.CHECKING, ImportStatus.CANCELLED, ImportStatus.CRASHED},
    ImportStatus.CHECKING: {
        ImportStatus.DONE,
        ImportStatus.REFUSED,
        ImportStatus.CRASHED,
        ImportStatus.CANCELLED,
        ImportStatus.QUEUED,  # by the sweep, when its worker is gone
    },
}


class DatasetImport(OwnedModel):
    """One set of examples on its way in; ends with a version, or with a report that says why not.

        receiving → queued → checking → done | refused | crashed
        (any of the first three) → cancelled

    `offset` of `length` bytes have been received (uploads only). `recipe` is what the worker is to make: for a
    reference `{"uri"}`, for a derived version `{"make", …}`. `mapping` names the columns when no format fits.
    """

    source = models.CharField(_("source"), max_length=12, choices=ImportSource)
    status = models.CharField(
        _("status"), max_length=12, choices=ImportStatus, default=ImportStatus.RECEIVING
    )
    name = models.CharField(_("name of the set"), max_length=120, blank=True)
    dataset = models.ForeignKey(
        Dataset, on_delete=models.CASCADE, null=True, blank=True, related_name="imports"
    )
    connection = models.ForeignKey(
        Connection, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    file_name = models.CharField(_("file"), max_length=255, blank=True)
    length = models.BigIntegerField(_("size"), default=0)
    offset = models.BigIntegerField(_("received"), default=0)
    recipe = models.JSONField(_("recipe"), default=dict, blank=True)
    mapping = models.JSONField(_("columns"), default=dict, blank=True)
    progress = models.FloatField(_("progress"), default=0)  # 0 to 1, of the checking
    attempt = models.UUIDField(_("who checks it"), null=True, blank=True)  # the fencing token
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    message = models.CharField(_("what happened"), max_length=500, blank=True)
    report_sha256 = models.CharField(max_length=64, blank=True)
    version = models.ForeignKey(
        DatasetVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="imports"
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    expires_at = models.DateTimeField(_("thrown away at"), null=True, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("import")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(offset__lte=models.F("length"), offset__gte=0), name="offset_is_within"
            )
        ]

    def __str__(self) -> str:
        return self.file_name or self.name or str(self.pk)
