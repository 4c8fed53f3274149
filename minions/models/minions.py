"""A minion, the versions of what shapes its answers, and its token."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import ImmutableModel, OwnedModel

MOST_TOKENS = 32_768


class Mode(models.TextChoices):
    HYBRID = "hybrid", _("All of it: what it learned, what it can look up, and an outside model")
    LORA_ONLY = "lora_only", _("Only what it learned")
    RAG_ONLY = "rag_only", _("Looks things up, and an outside model answers")
    PROVIDER_ONLY = "provider_only", _("An outside model alone, with the persona")


class AdapterRole(models.TextChoices):
    DRAFTER = "drafter", _("It drafts first, and the outside model makes an answer of it")
    REWRITER = "rewriter", _("The outside model answers first, and it says that in its own words")


class Choosing(models.TextChoices):
    IN_ORDER = "in_order", _("In this order")
    CHEAPEST_FIRST = "cheapest_first", _("The cheapest first")
    HEDGED = "hedged", _("In this order, and the next one too when it is slow")


class OnFailure(models.TextChoices):
    SKIP = "skip", _("Go on without it")
    FALL_BACK = "fall_back", _("Take the next best")
    FAIL = "fail", _("Say that there is no answer")


def tokens_field(words, default: int, help_text=""):
    return models.PositiveIntegerField(
        words,
        default=default,
        help_text=help_text,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_TOKENS)],
    )


class Minion(OwnedModel):
    """One person's agent. What shapes its answers is kept as a `MinionVersion` whenever it changes.

    `chain` is a list of links as `minions.recipes.Link` reads them: which model of which provider answers, in order.
    """

    name = models.CharField(_("name"), max_length=80)
    persona = models.TextField(
        _("persona"), blank=True, max_length=8000,
        help_text=_("Who it is and how it speaks. It goes before every question, word for word."),
    )  # fmt: skip
    mode = models.CharField(_("how it answers"), max_length=20, choices=Mode, default=Mode.PROVIDER_ONLY)
    adapter = models.ForeignKey(
        "training.Adapter", on_delete=models.SET_NULL, null=True, blank=True, related_name="+",
        verbose_name=_("what it learned"), help_text=_("This very adapter, until you choose another."),
    )  # fmt: skip
    adapter_role = models.CharField(
        _("what the adapter does"), max_length=20, choices=AdapterRole, default=AdapterRole.DRAFTER
    )
    knowledge_bases = models.ManyToManyField(
        "knowledge.KnowledgeBase", blank=True, related_name="+", verbose_name=_("what it can look up")
    )
    chain = models.JSONField(_("outside models"), default=list, blank=True)
    choosing = models.CharField(
        _("which of them is asked"), max_length=20, choices=Choosing, default=Choosing.IN_ORDER
    )
    style_tokens = tokens_field(_("longest draft, tokens"), 300)
    knowledge_tokens = tokens_field(_("most looked up, tokens"), 1500)
    history_tokens = tokens_field(_("most of the conversation, tokens"), 3000)
    answer_tokens = tokens_field(_("longest answer, tokens"), 800)
    passages = models.PositiveSmallIntegerField(
        _("passages looked up"), default=6, validators=[MinValueValidator(1), MaxValueValidator(30)]
    )
    temperature = models.FloatField(
        _("chance"), default=0.3, validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=_("0: the likeliest words; higher: more variety."),
    )  # fmt: skip
    on_style_failure = models.CharField(
        _("if what it learned does not answer"), max_length=12, choices=OnFailure, default=OnFailure.SKIP
    )
    on_knowledge_failure = models.CharField(
        _("if nothing can be looked up"), max_length=12, default=OnFailure.SKIP,
        choices=[(OnFailure.SKIP, OnFailure.SKIP.label), (OnFailure.FAIL, OnFailure.FAIL.label)],
    )  # fmt: skip
    on_answer_failure = models.CharField(
        _("if an outside model does not answer"),
        max_length=12,
        choices=OnFailure,
        default=OnFailure.FALL_BACK,
    )
    requests_per_minute = models.PositiveIntegerField(
        _("questions a minute"), default=60, help_text=_("From everywhere together. 0: no limit.")
    )
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("minion")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="minion_name_is_one_of_its_owners")
        ]

    def __str__(self) -> str:
        return self.name


class MinionVersion(ImmutableModel):
    """What shaped the answers from then on, as `minions.recipes.Recipe` reads it. Answers point here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    minion = models.ForeignKey(
        Minion, on_delete=models.CASCADE, related_name="versions", verbose_name=_("minion")
    )
    number = models.PositiveIntegerField(_("number"))
    recipe = models.JSONField(_("recipe"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("version of a minion")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["minion", "number"], name="minion_version_is_numbered_once")
        ]

    def __str__(self) -> str:
        return f"{self.minion} {self.number}"


class MinionToken(models.Model):
    """Opens this one minion to a program. Only its hash is kept; making another one replaces the row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    minion = models.OneToOneField(
        Minion, on_delete=models.CASCADE, related_name="token", verbose_name=_("minion")
    )
    digest = models.CharField(_("hash"), max_length=128, unique=True)
    ending = models.CharField(_("its last characters"), max_length=4)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("minion token")

    def __str__(self) -> str:
        return f"minion_…{self.ending}"
