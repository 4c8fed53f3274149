"""Batches: many questions in a file, answered when there is time."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel

from .files import ApiFile


class BatchStatus(models.TextChoices):
    VALIDATING = "validating", _("its file is being read")
    FAILED = "failed", _("its file cannot be used")
    IN_PROGRESS = "in_progress", _("being answered")
    FINALIZING = "finalizing", _("answers are being written down")
    COMPLETED = "completed", _("completed")
    EXPIRED = "expired", _("its time was over")
    CANCELLING = "cancelling", _("being cancelled")
    CANCELLED = "cancelled", _("cancelled")


BATCH_MOVES: dict[str, set[str]] = {
    BatchStatus.VALIDATING: {
        BatchStatus.IN_PROGRESS, BatchStatus.FAILED, BatchStatus.CANCELLING, BatchStatus.EXPIRED,
    },
    BatchStatus.IN_PROGRESS: {BatchStatus.FINALIZING, BatchStatus.CANCELLING, BatchStatus.EXPIRED},
    BatchStatus.FINALIZING: {BatchStatus.COMPLETED},
    BatchStatus.CANCELLING: {BatchStatus.CANCELLED},
    BatchStatus.COMPLETED: set(),
    BatchStatus.FAILED: set(),
    BatchStatus.EXPIRED: set(),
    BatchStatus.CANCELLED: set(),
}  # fmt: skip
BATCH_UNFINISHED = [status for status, after in BATCH_MOVES.items() if after]


class Batch(OwnedModel):
    """Questions of `input_file`, each answered once, in slices of a worker's time.

        validating → in_progress → finalizing → completed
        validating → failed
        validating | in_progress → expired
        validating | in_progress → cancelling → cancelled

    It is also cancelled when the API token that sent it ends, or its owner is deactivated; `errors` then say so.
    `attempt` is the fencing token of the slice at work, `heartbeat_at` shows that it lives.
    """

    status = models.CharField(
        _("status"), max_length=12, choices=BatchStatus, default=BatchStatus.VALIDATING, db_index=True
    )
    endpoint = models.CharField(_("endpoint"), max_length=60)
    completion_window = models.CharField(max_length=10, default="24h")
    input_file = models.CharField(max_length=40)
    model_names = models.JSONField(
        _("models"), default=list, blank=True, help_text=_("Those that its token may ask; none named: all.")
    )
    token_id = models.UUIDField(
        _("API token"),
        null=True,
        help_text=_("In the books of its answers; none: from before that was kept."),
    )
    input_sha256 = models.CharField(max_length=64)
    metadata = models.JSONField(default=dict, blank=True)
    output_seconds = models.PositiveIntegerField(_("seconds that its files are kept"), null=True, blank=True)
    model = models.CharField(max_length=200, blank=True)
    errors = models.JSONField(default=list, blank=True)
    total = models.PositiveIntegerField(_("questions"), default=0)
    completed = models.PositiveIntegerField(_("answered"), default=0)
    failed = models.PositiveIntegerField(_("refused"), default=0)
    usage = models.JSONField(default=dict, blank=True)
    output_file = models.ForeignKey(ApiFile, on_delete=models.SET_NULL, null=True, related_name="+")
    error_file = models.ForeignKey(ApiFile, on_delete=models.SET_NULL, null=True, related_name="+")
    times = models.JSONField(_("when it came to each status, seconds since 1970"), default=dict)
    expires_at = models.DateTimeField(_("answered until"))
    attempt = models.UUIDField(_("slice at work"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("batch")
        verbose_name_plural = _("batches")

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"batch_{self.pk.hex}"


class BatchAnswer(models.Model):
    """One line of a batch, answered: one at most, whoever answers it twice. They go when the files are made."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="answers")
    line = models.PositiveIntegerField(_("line of its file, from 0"))
    is_good = models.BooleanField()
    body = models.JSONField()

    class Meta:
        verbose_name = _("answer of a batch")
        ordering = ["line"]
        constraints = [models.UniqueConstraint(fields=["batch", "line"], name="one_answer_per_line")]

    def __str__(self) -> str:
        return f"{self.batch} line {self.line}"
