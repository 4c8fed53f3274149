"""Filters of the page Usage, and a limit of one's own."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.utils.translation import gettext_lazy as _

from ledger.models import Kind, Measure, Outcome, Period
from ledger.selectors import USUAL_DAYS, Wish, today

ANY = ("", _("all"))


class WishForm(forms.Form):
    """What of the ledger is shown. What cannot be read is left out, and its field says why."""

    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    kind = forms.ChoiceField(label=_("What"), required=False, choices=[ANY, *Kind.choices])
    model = forms.CharField(label=_("Model"), required=False, max_length=255)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False, choices=[ANY, *Outcome.choices])
    everybody = forms.BooleanField(label=_("Everybody’s"), required=False)

    def __init__(self, *args, is_superuser: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        if not is_superuser:
            del self.fields["everybody"]
        for name in ("kind", "model", "outcome", "since", "until"):
            self.fields[name].widget.attrs["class"] = "input"
        self.fields["model"].widget.attrs["list"] = "models-used"

    def wish(self) -> Wish:
        self.is_valid()
        asked = getattr(self, "cleaned_data", {})
        until = asked.get("until") or today()
        since = asked.get("since") or until - timedelta(days=USUAL_DAYS - 1)
        return Wish(
            since=min(since, until), until=until, kind=asked.get("kind", ""), model=asked.get("model", ""),
            outcome=asked.get("outcome", ""), is_everybodys=bool(asked.get("everybody")),
        )  # fmt: skip


class LimitForm(forms.Form):
    """A limit of one's own, which can only be lower than those of the house."""

    limit = forms.DecimalField(
        label=_("At most"), min_value=0, max_digits=15, decimal_places=6,
        help_text=_("US dollars, tokens, or seconds."),
    )  # fmt: skip
    measure = forms.ChoiceField(label=_("of"), choices=Measure.choices)
    period = forms.ChoiceField(label=_("Begins anew"), choices=Period.choices, initial=Period.MONTH)
