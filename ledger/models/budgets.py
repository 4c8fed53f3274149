"""How much may be used, how much of it is, and what is held for what runs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from ledger.money import Amount, dollars_of


class Measure(models.TextChoices):
    MONEY = "money", _("money, US dollars")
    TOKENS = "tokens", _("tokens")
    GPU_SECONDS = "gpu_seconds", _("seconds of devices that train")


class Period(models.TextChoices):
    DAY = "day", _("each day")
    MONTH = "month", _("each month")
    EVER = "ever", _("for good")


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def period_start(period: str, now: datetime | None = None) -> datetime:
    """The beginning of the day or month in UTC; of all time where it is for good."""
    if period == Period.EVER:
        return EPOCH
    now = (now or timezone.now()).astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if period == Period.DAY else midnight.replace(day=1)


class Scope(models.TextChoices):
    USER = "user", _("a person, with all that is theirs")
    TOKEN = "token", _("an API token")  # noqa: S105 - no password
    MINION = "minion", _("a minion")


class Budget(models.Model):
    """How much may be used. Without an owner: of everybody, each for themselves.

    A budget of the house for one person stands in place of that for everybody with the same measure and period; without
    a `limit` it lifts it. One that an owner set (`is_own`) stands beside those of the house, so it can only be lower.
    `limit` is in nanos, tokens or milliseconds.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+",
        verbose_name=_("owner"), help_text=_("Empty: everybody, each for themselves."),
    )  # fmt: skip
    scope = models.CharField(_("of"), max_length=8, choices=Scope, default=Scope.USER)
    token_id = models.UUIDField(_("API token"), null=True, blank=True)
    minion_id = models.UUIDField(_("minion"), null=True, blank=True)
    measure = models.CharField(_("counts"), max_length=12, choices=Measure, default=Measure.MONEY)
    period = models.CharField(_("begins anew"), max_length=8, choices=Period, default=Period.MONTH)
    limit = models.BigIntegerField(
        _("limit"), null=True, help_text=_("In nanos, tokens or milliseconds; none: no limit.")
    )
    is_own = models.BooleanField(_("set by its owner"), default=False)
    name = models.CharField(_("of what"), max_length=120, blank=True)
    key = models.CharField(max_length=160, unique=True, editable=False, help_text=_("One budget of a kind."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = _("budget")
        ordering = ["owner_id", "scope", "measure", "period"]

    def __str__(self) -> str:
        return f"{self.get_measure_display()}, {self.get_period_display()}"

    def save(self, *args, **kwargs):
        whose = "*" if self.owner_id is None else self.owner_id
        of = self.token_id or self.minion_id or ""
        self.key = (
            f"{whose}:{self.scope}:{of}:{self.measure}:{self.period}:{'own' if self.is_own else 'house'}"
        )
        super().save(*args, **kwargs)

    @property
    def public_limit(self):
        """In dollars, tokens or seconds; None: no limit."""
        return None if self.limit is None else public(self.measure, self.limit)


def public(measure: str, amount: int):
    """An amount of a counter as people count it: dollars (`Decimal`), tokens, seconds."""
    if measure == Measure.MONEY:
        return dollars_of(amount)
    return amount / 1000 if measure == Measure.GPU_SECONDS else amount


def measured(measure: str, amount: Amount) -> int:
    """Of an amount that which a counter counts."""
    return {
        Measure.MONEY: amount.nanos,
        Measure.TOKENS: amount.tokens,
        Measure.GPU_SECONDS: amount.gpu_ms,
    }[Measure(measure)]


class Counter(models.Model):
    """How much of a budget one person has used in the period that began at `began_at`, and what is held for what runs.

    Changed by conditional updates alone (`ledger.budgets`), which is why it has the budget's limit at hand. `told` is
    the percentage of which its owner was told in this period, `is_refusal_told` that something was refused.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="counters")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    limit = models.BigIntegerField(null=True)
    began_at = models.DateTimeField(_("period began"))
    spent = models.BigIntegerField(_("used"), default=0)
    reserved = models.BigIntegerField(_("held"), default=0)
    told = models.PositiveSmallIntegerField(default=0)
    is_refusal_told = models.BooleanField(default=False)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = _("counter of a budget")
        verbose_name_plural = _("counters of budgets")
        constraints = [models.UniqueConstraint(fields=["budget", "owner"], name="one_counter_per_person")]

    def __str__(self) -> str:
        return f"{self.budget}: {self.spent} + {self.reserved} of {self.limit}"


class Reservation(OwnedModel):
    """An amount that is held in counters while something runs that will cost up to that.

    `holds` are pairs of a counter's key and how much is held there. Whoever holds it renews `expires_at`; one that was
    left behind is given back by the sweep. `subject` names what it is for, such as `job-<id>`: one for each.
    """

    what = models.CharField(_("for"), max_length=200)
    subject = models.CharField(max_length=80, null=True, unique=True)  # noqa: DJ001 - none is not the same as another none
    token_id = models.UUIDField(null=True)
    minion_id = models.UUIDField(null=True)
    holds = models.JSONField(default=list)
    expires_at = models.DateTimeField(_("given back at"), db_index=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("reservation")

    def __str__(self) -> str:
        return self.what
