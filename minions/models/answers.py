"""How an answer came about, kept with it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel
from minions.models.minions import Minion, MinionVersion


class AnswerStatus(models.TextChoices):
    DONE = "done", _("answered")
    STOPPED = "stopped", _("stopped by the asker")
    BROKEN = "broken", _("broke off")
    FAILED = "failed", _("no answer")


ENDED = frozenset(AnswerStatus.values)


class Source(models.TextChoices):
    CHAT = "chat", _("chat page")
    API = "api", _("API")
    OPENAI = "openai", _("OpenAI’s API")


class AnswerTrace(OwnedModel):
    """One answer of a minion: what each stage was told, what it gave, how long it took and what it cost.

    `stages` is a list of `minions.tracing.Stage.told()`; the text of the answer is in the `Message`, where it has one.
    """

    minion = models.ForeignKey(
        Minion, on_delete=models.CASCADE, related_name="answers", verbose_name=_("minion")
    )
    version = models.ForeignKey(
        MinionVersion, on_delete=models.CASCADE, related_name="+", verbose_name=_("version")
    )
    token_id = models.UUIDField(_("token"), null=True, blank=True)
    source = models.CharField(_("from"), max_length=10, choices=Source)
    status = models.CharField(_("status"), max_length=10, choices=AnswerStatus)
    model = models.CharField(_("answered by"), max_length=255, blank=True)
    provider = models.CharField(_("of"), max_length=80, blank=True)
    why = models.CharField(_("why that one"), max_length=500, blank=True)
    problem = models.CharField(_("what went wrong"), max_length=500, blank=True)
    stages = models.JSONField(_("stages"), default=list)
    input_tokens = models.PositiveIntegerField(_("tokens in"), default=0)
    output_tokens = models.PositiveIntegerField(_("tokens out"), default=0)
    cost = models.DecimalField(_("cost, $"), max_digits=14, decimal_places=8, default=0)
    own_ms = models.FloatField(_("of these ours, ms"), default=0)
    first_ms = models.FloatField(_("to the first words, ms"), null=True)
    total_ms = models.FloatField(_("to the end, ms"), default=0)

    class Meta(OwnedModel.Meta):
        verbose_name = _("answer of a minion")
        verbose_name_plural = _("answers of minions")
        indexes = [models.Index(fields=["minion", "created_at"], name="minions_answer_of_minion")]

    def __str__(self) -> str:
        return f"{self.minion} {self.status} {self.created_at:%Y-%m-%d %H:%M:%S}"
