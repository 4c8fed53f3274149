"""Several trainings as one plan: each stage goes on from what the one before has learned, if its gate opens."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from training.models.jobs import METHODS, UNFINISHED, TrainingJob


class ChainStatus(models.TextChoices):
    RUNNING = "running", _("Under way")
    SUCCEEDED = "succeeded", _("Finished")
    STOPPED = "stopped", _("Stopped at a gate")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Stopped")


CHAIN_MOVES: dict[str, set[str]] = {
    ChainStatus.RUNNING: {
        ChainStatus.SUCCEEDED,
        ChainStatus.STOPPED,
        ChainStatus.FAILED,
        ChainStatus.CANCELLED,
    },
    ChainStatus.STOPPED: {ChainStatus.RUNNING},
    ChainStatus.FAILED: {ChainStatus.RUNNING},
    ChainStatus.CANCELLED: {ChainStatus.RUNNING},
    ChainStatus.SUCCEEDED: set(),
}


class ChainQuerySet(OwnedQuerySet):
    def under_way(self):
        return self.filter(status=ChainStatus.RUNNING)

    def waiting_for_a_word(self):
        """Under way, but no job of theirs is: something has ended, or the next stage has not begun."""
        busy = ChainStage.objects.filter(job__status__in=UNFINISHED).values("chain")
        return self.under_way().exclude(pk__in=busy)


class Chain(OwnedModel):
    """SFT → check → DPO, say. A stage's job is made when the stage before has passed its gate.

    running → succeeded | stopped | failed | cancelled
    stopped | failed | cancelled → running      its owner lets it go on
    """

    name = models.CharField(_("name"), max_length=80)
    base_model = models.ForeignKey(BaseModel, on_delete=models.RESTRICT, related_name="+")
    status = models.CharField(
        _("status"), max_length=12, choices=ChainStatus, default=ChainStatus.RUNNING, db_index=True
    )
    message = models.TextField(_("what happened"), blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = ChainQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("chain")

    def __str__(self) -> str:
        return self.name

    @property
    def has_ended(self) -> bool:
        return self.status != ChainStatus.RUNNING

    @property
    def can_go_on(self) -> bool:
        return ChainStatus.RUNNING in CHAIN_MOVES[self.status]


class ChainStage(models.Model):
    """One training of a chain. `gate` says what its result must show before the next stage begins.

    `has_passed`: None until its job has ended well and its gate has been asked.
    """

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="stages")
    position = models.PositiveSmallIntegerField(_("place, from 0"))
    method = models.CharField(_("method"), max_length=10, choices=METHODS, default="sft")
    dataset_version = models.ForeignKey(
        DatasetVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
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

    def take_job(self, job: TrainingJob) -> bool:
        """Makes `job` this stage's own, if its chain is under way and it has none: of two racers exactly one wins.

        Call it in the transaction that makes the job. Locks the chain's row, so that nobody stops the chain between.
        """
        locked = Chain.objects.under_way().select_for_update().filter(pk=self.chain_id).first()
        stages = ChainStage.objects.filter(pk=self.pk, job__isnull=True, has_passed__isnull=True)
        return locked is not None and stages.update(job=job) == 1
