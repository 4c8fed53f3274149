"""What superusers set for everybody: prices of our own answers, limits a minute."""

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


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
