"""What jobs leave: adapters, and how programs call them."""

import secrets

from django.db import models
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from apex.common.models import ImmutableModel, OwnedModel
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from training.models.jobs import TrainingJob


class Adapter(OwnedModel, ImmutableModel):
    """What a job learned, with its lineage. The directory is kept by hash (`apex.common.files`).

    `step` is empty for what a job left at its end; a checkpoint that its owner keeps is an adapter with its step.
    """

    name = models.CharField(_("name"), max_length=80)
    model_id = models.CharField(
        _("model id"), max_length=200, unique=True, help_text=_("As programs call it, for good.")
    )
    job = models.ForeignKey(TrainingJob, on_delete=models.RESTRICT, related_name="adapters")
    step = models.PositiveIntegerField(_("kept from step"), null=True, blank=True)
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.RESTRICT, related_name="+")
    base_model = models.ForeignKey(BaseModel, on_delete=models.RESTRICT, related_name="+")
    base_revision = models.CharField(_("revision of the base model"), max_length=64, blank=True)
    config = models.JSONField(_("settings"), default=dict)
    seed = models.BigIntegerField(_("seed"))
    library_versions = models.JSONField(_("library versions"), default=dict)
    directory_sha256 = models.CharField(_("hash"), max_length=64)
    size_bytes = models.BigIntegerField(_("size"), default=0)
    eval_loss_base = models.FloatField(_("held-out loss of the base model"), null=True)
    eval_loss = models.FloatField(_("held-out loss"), null=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("adapter")
        constraints = [
            models.UniqueConstraint(fields=["job", "step"], name="one_adapter_per_step"),
            models.UniqueConstraint(
                fields=["job"], condition=models.Q(step__isnull=True), name="one_last_adapter_per_job"
            ),
        ]

    def __str__(self) -> str:
        return self.name


def new_model_id(base_model: BaseModel, owner, name: str, key: str = "") -> str:
    """`ft:<base>:<owner>:<suffix>:<8 hex>`: never given twice, never changed. The last part is `key`, or drawn."""
    owner_part = slugify(owner.get_username())[:40] or f"user-{owner.pk}"
    last = key or secrets.token_hex(4)
    return f"ft:{base_model.name}:{owner_part}:{slugify(name)[:40] or 'adapter'}:{last}"


def model_id_of(job: TrainingJob) -> str:
    """The model id of what `job` leaves at its end; a checkpoint of it adds `:ckpt-step-<step>`.

    It is known from the first step on, as its last part comes from the job's own id, which was drawn.
    """
    known = job.adapters.values_list("model_id", flat=True).first()
    if known:
        return known.partition(":ckpt-step-")[0]
    return new_model_id(job.base_model, job.owner, job.name, key=job.pk.hex[:8])
