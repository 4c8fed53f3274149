"""The one ledger: what was used and what it cost; how much may be used; what is held for what runs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from ledger.money import Amount, dollars_of


class Kind(models.TextChoices):
    """What is counted in a line."""

    OWN_TOKENS = "own_tokens", _("answers of our own servers")
    PROVIDER_TOKENS = "provider_tokens", _("answers of providers")
    GPU_SECONDS = "gpu_seconds", _("time of GPUs and processors")


class Outcome(models.TextChoices):
    OK = "ok", _("done")
    REFUSED = "refused", _("refused")
    FAILED = "failed", _("failed")
    LEFT = "left", _("broken off by who asked")


def an_id() -> str:
    return uuid.uuid4().hex


class UsageLine(models.Model):
    """One thing that was used, and what it cost. Written once: no line is ever changed or deleted.

    It outlives its owner, token, minion, adapter and job, so none of them is a constraint. `reference` is unique:
    whoever writes the same thing twice writes one line. Money is in nanos (`ledger.money`), and the price by which it
    was reckoned stands beside it: nanos for a million tokens, or for an hour. No price: nobody has said one.
    """

    at = models.DateTimeField(_("when"))
    day = models.DateField(_("day"), help_text=_("Of `at`, in UTC."))
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False,
        related_name="+", verbose_name=_("owner"),
    )  # fmt: skip
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    activity = models.CharField(_("for"), max_length=24, help_text=_("chat, embeddings, batch, training, …"))
    provider = models.CharField(_("provider"), max_length=60, default="apex")
    model = models.CharField(_("model"), max_length=255, blank=True, help_text=_("As it was asked for."))
    adapter_id = models.UUIDField(_("adapter"), null=True)
    token_id = models.UUIDField(_("API token"), null=True)
    minion_id = models.UUIDField(_("minion"), null=True)
    job_id = models.UUIDField(_("training"), null=True)
    reference = models.CharField(_("reference"), max_length=80, unique=True, default=an_id)
    input_tokens = models.PositiveBigIntegerField(_("tokens in"), null=True)
    output_tokens = models.PositiveBigIntegerField(_("tokens out"), null=True)
    cached_tokens = models.PositiveBigIntegerField(_("of these from a cache"), null=True)
    gpu_ms = models.PositiveBigIntegerField(_("milliseconds of devices"), null=True)
    is_estimated = models.BooleanField(_("estimated"), default=False)
    nanos = models.BigIntegerField(_("money, in nanos"), default=0)
    input_price = models.BigIntegerField(_("price in"), null=True)
    output_price = models.BigIntegerField(_("price out"), null=True)
    cached_price = models.BigIntegerField(_("price from a cache"), null=True)
    hour_price = models.BigIntegerField(_("price of an hour"), null=True)
    price_source = models.CharField(_("where the price is from"), max_length=200, blank=True)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome, default=Outcome.OK)
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    # None rather than "": a column that may be empty is added without writing the whole table anew.
    error = models.CharField(_("what went wrong"), max_length=40, null=True)  # noqa: DJ001
    is_stream = models.BooleanField(_("streamed"), default=False)
    first_byte_ms = models.FloatField(_("to the first byte, ms"), null=True)
    latency_ms = models.FloatField(_("to the last byte, ms"), null=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = _("line of the ledger")
        verbose_name_plural = _("lines of the ledger")
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["owner", "at"], name="ledger_owner_at"),
            models.Index(fields=["at"], name="ledger_at"),
            models.Index(fields=["minion_id", "at"], name="ledger_minion_at", condition=Q(minion_id__isnull=False)),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.activity} {self.model} {self.at:%Y-%m-%d %H:%M:%S}"

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise TypeError("A line of the ledger is written once; write another one that corrects it.")
        self.day = self.at.astimezone(UTC).date()
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        raise TypeError("A line of the ledger stays; write another one that corrects it.")

    @property
    def money(self):
        """US dollars."""
        return dollars_of(self.nanos)


class UsageDay(models.Model):
    """What the lines of one day with the same owner, model, minion, … come to; grows in their transaction.

    Its id is reckoned from its key (`ledger.days`). Times are sums over `timed` answers, and
    over `timed_first` streams.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    day = models.DateField(_("day"))
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False,
        related_name="+", verbose_name=_("owner"),
    )  # fmt: skip
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    activity = models.CharField(_("for"), max_length=24)
    provider = models.CharField(_("provider"), max_length=60)
    model = models.CharField(_("model"), max_length=255, blank=True)
    minion_id = models.UUIDField(_("minion"), null=True)
    token_id = models.UUIDField(_("API token"), null=True)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome)
    error = models.CharField(_("what went wrong"), max_length=40, blank=True)
    count = models.PositiveBigIntegerField(default=0)
    nanos = models.BigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    gpu_ms = models.PositiveBigIntegerField(default=0)
    timed = models.PositiveBigIntegerField(default=0)
    latency_ms = models.FloatField(default=0)
    slowest_ms = models.FloatField(null=True)
    timed_first = models.PositiveBigIntegerField(default=0)
    first_byte_ms = models.FloatField(default=0)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = _("sums of a day")
        verbose_name_plural = _("sums of days")
        indexes = [
            models.Index(fields=["owner", "day"], name="ledger_day_owner"),
            models.Index(fields=["day"], name="ledger_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.activity} {self.model}"


# How many answers took so long: each step is a quarter longer than the one before, from 1 ms to 11 minutes. Columns,
# since a row for each step is twenty times as much to add up.
STEPS = 60
SPREAD = {time: [f"{time}_{step:02}" for step in range(STEPS)] for time in ("first", "whole")}
for _column in (*SPREAD["first"], *SPREAD["whole"]):
    UsageDay.add_to_class(_column, models.PositiveBigIntegerField(default=0))


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


class ServingPrice(models.Model):
    """What a million tokens of our own servers cost: of one model, or, without a name, of all that have none.

    Without any, answers of our own servers cost nothing.
    """

    model_name = models.CharField(
        _("base model"), max_length=255, blank=True, unique=True, help_text=_("Empty: all others.")
    )
    input_dollars = models.DecimalField(_("a million tokens in, US dollars"), max_digits=12, decimal_places=6)
    output_dollars = models.DecimalField(
        _("a million tokens out, US dollars"), max_digits=12, decimal_places=6
    )
    source = models.CharField(_("how it was reckoned"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("price of our own answers")
        verbose_name_plural = _("prices of our own answers")
        ordering = ["model_name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(input_dollars__gte=0) & Q(output_dollars__gte=0), name="no_price_is_negative"
            )
        ]

    def __str__(self) -> str:
        return self.model_name or str(_("all others"))


MOST_A_MINUTE = 1_000_000_000


class MinuteLimits(models.Model):
    """How much everybody may ask in a minute, each for themselves: one row, which superusers change.

    An empty field leaves it to the environment, 0 lifts it. What a person's own row says stands in its place.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    requests_per_minute = models.PositiveIntegerField(
        _("questions a minute"), null=True, blank=True, validators=[MaxValueValidator(MOST_A_MINUTE)]
    )
    tokens_per_minute = models.PositiveIntegerField(
        _("tokens a minute"), null=True, blank=True, validators=[MaxValueValidator(MOST_A_MINUTE)]
    )
    calls_per_minute = models.PositiveIntegerField(
        _("other calls a minute"), null=True, blank=True, validators=[MaxValueValidator(MOST_A_MINUTE)]
    )

    class Meta:
        verbose_name = _("limits a minute")
        verbose_name_plural = _("limits a minute")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_row_of_limits_a_minute")]

    def __str__(self) -> str:
        return str(_("of everybody"))
