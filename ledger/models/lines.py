"""What was used and what it cost: lines, and their sums by day."""

from __future__ import annotations

import uuid
from datetime import UTC

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedQuerySet
from ledger.money import dollars_of


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
