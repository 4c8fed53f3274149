"""A dataset is a name; what it holds are versions, each written once."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import ImmutableModel, OwnedModel, OwnedQuerySet

from .references import Reference


class ErasableQuerySet(OwnedQuerySet):
    """What was erased is left out of all that a user reaches; only what learned from it still leads to its mark."""

    def present(self):
        return self.filter(erased_at__isnull=True)

    def for_user(self, user):
        return super().for_user(user).present()


class Dataset(OwnedModel):
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("what it shows"), max_length=300, blank=True)
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True, editable=False)

    objects = ErasableQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("dataset")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=models.Q(erased_at__isnull=True),
                name="dataset_name_is_unique_per_owner",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def latest(self) -> "DatasetVersion | None":
        return self.versions.present().order_by("-number").first()


class MadeBy(models.TextChoices):
    UPLOAD = "upload", _("a file")
    TYPED = "typed", _("typed or pasted")
    DEMO = "demo", _("our example set")
    REFERENCE = "reference", _("a reference")
    EDITED = "edited", _("edited rows")
    FILTERED = "filtered", _("a filter")
    SPLIT = "split", _("another split")
    MERGED = "merged", _("a merge")
    DEDUPLICATED = "deduplicated", _("without duplicates")
    CLEANED = "cleaned", _("the good rows only")
    MASKED = "masked", _("personal data masked")
    STARRED = "starred", _("gold stars")
    LABEL_STUDIO = "label_studio", _("Label Studio")


class Kind(models.TextChoices):
    """What a row of a version is; docs/architecture.md shows one of each."""

    CHAT = "chat", _("conversations")
    TEXT = "text", _("plain text")
    PREFERENCE = "preference", _("preferences")
    UNPAIRED = "unpaired", _("good and bad answers")


class Verdict(models.TextChoices):
    ACCEPT = "accept", _("accepted")
    WARN = "warn", _("accepted with warnings")
    REJECT = "reject", _("refused")


class DatasetVersion(OwnedModel, ImmutableModel):
    """What was brought, unchangeable.

    `source_sha256` is the file as it came; `rows_sha256` the chat rows made from it (docs/architecture.md), both
    in `apex.common.files`. `faults` holds at most 200 of `fault_count` faults:
    `{"line", "problem", "mend", "severity", "code"}`; `report_sha256` is the whole report as JSON.

    A version of a `reference` keeps no bytes: both hashes are empty, and its rows are read where they are.
    A version whose data was erased stays as a mark for what learned from it: `erased_at` is set, the files gone.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children"
    )
    made_by = models.CharField(_("how it was made"), max_length=20, choices=MadeBy)
    made_from = models.JSONField(_("made from"), default=dict, blank=True)
    merged_from = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="merged_into")
    reference = models.ForeignKey(
        Reference, on_delete=models.RESTRICT, null=True, blank=True, related_name="versions"
    )
    kind = models.CharField(_("kind of rows"), max_length=12, choices=Kind, default=Kind.CHAT)
    verdict = models.CharField(_("verdict"), max_length=8, choices=Verdict, default=Verdict.ACCEPT)
    file_name = models.CharField(_("file"), max_length=255, blank=True)
    file_bytes = models.BigIntegerField(_("size"), default=0)
    format = models.CharField(_("format"), max_length=40)
    source_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    rows_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    report_sha256 = models.CharField(max_length=64, blank=True)
    row_count = models.PositiveIntegerField(_("examples"))
    train_count = models.PositiveIntegerField(_("to learn from"))
    held_out_count = models.PositiveIntegerField(_("kept aside as a test"))
    conversation_count = models.PositiveIntegerField(_("conversations"))
    held_out_conversation_count = models.PositiveIntegerField(_("conversations kept aside"), default=0)
    skipped = models.JSONField(_("left out, and why"), default=dict, blank=True)
    faults = models.JSONField(_("faults"), default=list, blank=True)
    fault_count = models.PositiveIntegerField(_("number of faults"), default=0)
    profile = models.JSONField(_("lengths, roles, languages"), default=dict, blank=True)
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True, editable=False)

    objects = ErasableQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("dataset version")
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="version_number_is_unique")]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"

    @property
    def rows_id(self) -> str:
        """What tells its rows from all others, for caches."""
        return self.rows_sha256 or f"reference-{self.pk}"
