"""Several trainings as one plan: each stage goes on from what the one before has learned, if its gate opens."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from training.models.jobs import METHODS, TrainingJob


class ChainStatus(models.TextChoices):
    RUNNING = "running", _("Under way")
    SUCCEEDED = "succeeded", _("Finished")
    STOPPED = "stopped", _("Stopped at a gate")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Stopped")


class Chain(OwnedModel):
    """SFT → check → DPO, say. A stage's job is made when the stage before has passed its gate.

    running → succeeded | stopped | failed | cancelled
    """

    name = models.CharField(_("name"), max_length=80)
    base_model = models.ForeignKey(BaseModel, on_delete=models.RESTRICT, related_name="+")
    status = models.CharField(
        _("status"), max_length=12, choices=ChainStatus, default=ChainStatus.RUNNING, db_index=True
    )
    message = models.TextField(_("what happened"), blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("chain")

    def __str__(self) -> str:
        return self.name


class ChainStage(models.Model):
    """One training of a chain. `gate` says what its result must show before the next stage begins."""

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="stages")
    position = models.PositiveSmallIntegerField(_("place, from 0"))
    method = models.CharField(_("method"), max_length=10, choices=METHODS, default="sft")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.RESTRICT, related_name="+")
    config = models.JSONField(_("settings"), default=dict, blank=True)
    gate = models.JSONField(_("gate"), default=dict, blank=True)
    job = models.OneToOneField(
        TrainingJob, on_delete=models.SET_NULL, null=True, blank=True, related_name="chain_stage"
    )
    verdict = models.TextField(_("what the gate said"), blank=True)
    has_passed = models.BooleanField(_("passed its gate"), null=True)

    class Meta:
        verbose_name = _("stage")
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["chain", "position"], name="one_stage_per_position")]

    def __str__(self) -> str:
        return f"{self.chain}, stage {self.position + 1}"
