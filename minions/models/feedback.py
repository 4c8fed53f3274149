"""What people thought of answers."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel
from minions.models.conversations import Message


class FeedbackKind(models.TextChoices):
    GOOD = "good", _("good")
    BAD = "bad", _("bad")
    EDIT = "edit", _("better words")
    PICK = "pick", _("better than another answer")


class Feedback(OwnedModel):
    """One opinion on one answer; a new one of the same kind takes its place.

    `text` is the answer as it should have been (edit); `over` the answer that this one is better than (pick).
    """

    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="feedback", verbose_name=_("answer")
    )
    kind = models.CharField(_("opinion"), max_length=10, choices=FeedbackKind)
    text = models.TextField(_("better words"), blank=True)
    over = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("better than"),
    )

    class Meta(OwnedModel.Meta):
        verbose_name = _("opinion on an answer")
        verbose_name_plural = _("opinions on answers")
        constraints = [
            models.UniqueConstraint(
                fields=["message", "kind"], condition=models.Q(over=None), name="opinion_is_held_once"
            ),
            models.UniqueConstraint(fields=["message", "kind", "over"], name="pick_is_made_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
