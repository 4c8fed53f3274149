"""What people think of rows: stars, ratings, tags, notes, and the links by which others rate."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel

from .datasets import Dataset, DatasetVersion


class ShareLink(OwnedModel):
    """Lets people without an account rate the rows of one version: nothing else, until it ends.

    Only a hash of the token is kept; the address is shown once, when the link is made.
    """

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="share_links")
    label = models.CharField(_("for whom"), max_length=80, blank=True)
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(_("ends"))
    revoked_at = models.DateTimeField(_("taken back"), null=True, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("share link")

    def __str__(self) -> str:
        return self.label or str(self.pk)


class ReviewVerdict(models.TextChoices):
    NONE = "", _("not decided")
    STAR = "star", _("gold star")
    REJECT = "reject", _("rejected")


class ReviewSource(models.TextChoices):
    DATASET = "dataset", _("a dataset")
    CHAT = "chat", _("a chat")
    BATCH = "batch", _("a batch result")
    LABEL_STUDIO = "label_studio", _("Label Studio")


class Review(OwnedModel):
    """What one person thinks of one row. A gold star is a review with the verdict `star`.

    `owner` owns the examples; `reviewer` is who judged, or None for a guest of `share`, named `reviewer_name`.
    `row_key` is the hash of the row's content (`datasets_app.curation.row_key`), so a review outlives versions;
    `row` is the row as it was seen, `edited` the row as it should be (None: as it is). `note` says why.
    """

    dataset = models.ForeignKey(
        Dataset, on_delete=models.CASCADE, null=True, blank=True, related_name="reviews"
    )
    version = models.ForeignKey(
        DatasetVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="reviews"
    )
    source = models.CharField(_("source"), max_length=12, choices=ReviewSource, default=ReviewSource.DATASET)
    row_key = models.CharField(max_length=64)
    row_index = models.PositiveIntegerField(_("row"), null=True, blank=True)
    row = models.JSONField(_("row"), default=dict)
    edited = models.JSONField(_("row as it should be"), null=True, blank=True)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reviewer_name = models.CharField(_("who"), max_length=80, blank=True)
    share = models.ForeignKey(
        ShareLink, on_delete=models.SET_NULL, null=True, blank=True, related_name="reviews"
    )
    verdict = models.CharField(_("verdict"), max_length=10, choices=ReviewVerdict, blank=True, default="")
    rating = models.PositiveSmallIntegerField(_("rating, 1 to 5"), null=True, blank=True)
    tags = models.JSONField(_("tags"), default=list, blank=True)
    note = models.CharField(_("why"), max_length=2000, blank=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("review")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "dataset", "row_key", "reviewer", "share", "reviewer_name"],
                name="one_review_a_row_and_person",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(rating__isnull=True) | models.Q(rating__gte=1, rating__lte=5),
                name="rating_is_1_to_5",
            ),
        ]
        indexes = [models.Index(fields=["dataset", "row_key"], name="review_by_row")]

    def __str__(self) -> str:
        return f"{self.verdict or self.rating or '–'} {self.row_key[:8]}"
