"""Fine-tuning jobs as OpenAI's clients know them; the training itself is a `TrainingJob`."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel
from datasets_app.models import DatasetVersion
from training.models import Plan, TrainingJob

from .files import ApiFile


class TuneStatus(models.TextChoices):
    """Until there is a training, or where none could be made; afterwards the training's own status counts."""

    VALIDATING = "validating_files", _("its files are being read")
    STARTED = "started", _("its training was made")
    FAILED = "failed", _("no training could be made of it")
    CANCELLED = "cancelled", _("cancelled")


TUNE_MOVES: dict[str, set[str]] = {
    TuneStatus.VALIDATING: {TuneStatus.STARTED, TuneStatus.FAILED, TuneStatus.CANCELLED},
    TuneStatus.STARTED: set(),
    TuneStatus.FAILED: set(),
    TuneStatus.CANCELLED: set(),
}


class FineTune(OwnedModel):
    """What a program asked for: one training, made as soon as its files are read.

        validating_files → started | failed | cancelled

    Files are named by their ids as text, since a client may delete them while the job still tells of them. `method` is
    OpenAI's object with every hyperparameter, "auto" where nothing was said. `error`: code, message and param.
    """

    status = models.CharField(
        _("status"), max_length=20, choices=TuneStatus, default=TuneStatus.VALIDATING, db_index=True
    )
    job = models.OneToOneField(
        TrainingJob, on_delete=models.CASCADE, null=True, blank=True, related_name="fine_tune"
    )
    model = models.CharField(_("model, as it was asked for"), max_length=200)
    training_file = models.CharField(max_length=40)
    validation_file = models.CharField(max_length=40, blank=True)
    dataset_version = models.ForeignKey(
        DatasetVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.BigIntegerField()
    method = models.JSONField(default=dict)
    integrations = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    error = models.JSONField(default=dict, blank=True)
    ended_at = models.DateTimeField(_("ended without a training"), null=True, blank=True)
    results = models.ForeignKey(ApiFile, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    has_results = models.BooleanField(default=False)

    class Meta(OwnedModel.Meta):
        verbose_name = _("fine-tuning job of the API")
        verbose_name_plural = _("fine-tuning jobs of the API")

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"ftjob-{self.pk.hex}"


class BroughtJob(OwnedModel):
    """An old fine-tuning job whose settings were brought here as a plan, so that it is brought once."""

    source_id = models.CharField(_("its id there"), max_length=120)
    plan = models.ForeignKey(Plan, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta(OwnedModel.Meta):
        verbose_name = _("brought job")
        constraints = [models.UniqueConstraint(fields=["owner", "source_id"], name="a_job_is_brought_once")]

    def __str__(self) -> str:
        return self.source_id
