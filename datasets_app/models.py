"""A dataset is a name; what it holds are versions, each written once."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import ImmutableModel, OwnedModel


class Dataset(OwnedModel):
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("what it shows"), max_length=300, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("dataset")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="dataset_name_is_unique_per_owner")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def latest(self) -> "DatasetVersion | None":
        return self.versions.order_by("-number").first()


class MadeBy(models.TextChoices):
    UPLOAD = "upload", _("a file")
    TYPED = "typed", _("typed or pasted")
    DEMO = "demo", _("our example set")


class DatasetVersion(OwnedModel, ImmutableModel):
    """What was brought, unchangeable.

    `source_sha256` is the file as it came; `rows_sha256` the chat rows made from it (docs/architecture.md), both
    in `apex.common.files`. `faults` holds at most 200 of `fault_count` faults:
    `{"line", "problem", "mend", "severity"}`.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children"
    )
    made_by = models.CharField(_("how it was made"), max_length=20, choices=MadeBy)
    made_from = models.JSONField(_("made from"), default=dict, blank=True)
    file_name = models.CharField(_("file"), max_length=255, blank=True)
    file_bytes = models.BigIntegerField(_("size"), default=0)
    format = models.CharField(_("format"), max_length=40)
    source_sha256 = models.CharField(max_length=64, db_index=True)
    rows_sha256 = models.CharField(max_length=64)
    row_count = models.PositiveIntegerField(_("examples"))
    train_count = models.PositiveIntegerField(_("to learn from"))
    held_out_count = models.PositiveIntegerField(_("kept aside as a test"))
    conversation_count = models.PositiveIntegerField(_("conversations"))
    held_out_conversation_count = models.PositiveIntegerField(_("conversations kept aside"), default=0)
    skipped = models.JSONField(_("left out, and why"), default=dict, blank=True)
    faults = models.JSONField(_("faults"), default=list, blank=True)
    fault_count = models.PositiveIntegerField(_("number of faults"), default=0)

    class Meta(OwnedModel.Meta):
        verbose_name = _("dataset version")
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="version_number_is_unique")]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"
