"""What somebody takes out of the house: an adapter in another shape, made in the background and kept for some days."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from apex.common.secrets import Context
from training.models import Adapter


class ExportKind(models.TextChoices):
    MERGED = "merged", _("whole model")
    GGUF = "gguf", _("whole model as GGUF")
    ADAPTER_GGUF = "adapter_gguf", _("adapter as GGUF")
    OLLAMA = "ollama", _("Ollama bundle")
    HUB = "hub", _("Hugging Face Hub")


class ExportStatus(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Being made")
    DONE = "done", _("Ready")
    FAILED = "failed", _("Could not be made")
    CRASHED = "crashed", _("Interrupted")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


EXPORT_MOVES: dict[str, set[str]] = {
    ExportStatus.QUEUED: {ExportStatus.RUNNING, ExportStatus.CANCELLED},
    ExportStatus.RUNNING: {
        ExportStatus.DONE, ExportStatus.FAILED, ExportStatus.CRASHED, ExportStatus.CANCELLED, ExportStatus.QUEUED,
    },
    ExportStatus.DONE: {ExportStatus.EXPIRED},
}  # fmt: skip
UNFINISHED = [ExportStatus.QUEUED, ExportStatus.RUNNING]


class ExportQuerySet(OwnedQuerySet):
    def unfinished(self):
        return self.filter(status__in=UNFINISHED)

    def with_adapter(self):
        return self.select_related("adapter__base_model")


class Export(OwnedModel):
    """An adapter on its way out.

        queued → running → done | failed | crashed | cancelled
        running → queued      its worker was lost: once more, from the start
        queued → cancelled
        done → expired        its file is gone

    `failed`: the work said no. `crashed`: we broke, three times. `token` is that of the worker that makes it: what
    another writes has no effect. `sealed_secret` is the user's token for a hub, and goes when the export ends.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="exports")
    kind = models.CharField(_("kind"), max_length=20, choices=ExportKind)
    options = models.JSONField(_("how"), default=dict, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=ExportStatus, default=ExportStatus.QUEUED, db_index=True
    )
    step = models.CharField(_("what is being done"), max_length=20, blank=True)
    progress = models.PositiveSmallIntegerField(_("percent"), default=0)
    token = models.UUIDField(null=True, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    heartbeat_at = models.DateTimeField(null=True, editable=False)
    sealed_secret = models.TextField(_("token, encrypted"), blank=True, editable=False)
    reason = models.CharField(_("kind of problem"), max_length=40, blank=True)
    message = models.TextField(_("what happened"), blank=True)
    file_name = models.CharField(_("file"), max_length=200, blank=True)
    sha256 = models.CharField(_("hash"), max_length=64, blank=True, db_index=True)
    size_bytes = models.BigIntegerField(_("size"), default=0)
    files = models.JSONField(_("what is in it"), default=list, blank=True)
    link = models.CharField(_("where it is"), max_length=500, blank=True)
    queued_at = models.DateTimeField(_("waiting since"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    expires_at = models.DateTimeField(_("kept until"), null=True, blank=True)

    objects = ExportQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("export")
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=Q(status="running"), name="one_export_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.adapter.name}: {self.get_kind_display()}"

    @property
    def is_unfinished(self) -> bool:
        return self.status in UNFINISHED

    @property
    def secret_context(self) -> Context:
        """Of its token for a hub, which opens nowhere else."""
        return Context.of(self, "sealed_secret")

    @property
    def can_download(self) -> bool:
        return self.status == ExportStatus.DONE and bool(self.sha256)
