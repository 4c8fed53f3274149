"""Forms of the wizard. The advanced one is built from the engine's own settings, so that they cannot differ."""

from django import forms
from django.utils.translation import gettext_lazy as _

from training.comparing import AXES
from training.engine.config import describe
from training.metrics.curves import MOST_COLUMNS
from training.metrics.store import LAST
from training.models import Plan, Purpose

SHOWN = {"lora_r", "lora_alpha", "lora_dropout", "learning_rate", "epochs", "batch_size",
         "gradient_accumulation_steps", "max_length", "min_steps", "eval_steps", "seed"}  # fmt: skip


class GoalForm(forms.ModelForm):
    """Step 1: what should it learn, and what is it called."""

    purpose = forms.ChoiceField(
        label=_("What should it learn?"),
        choices=Purpose.choices,
        widget=forms.RadioSelect,
        initial=Purpose.STYLE,
    )

    class Meta:
        model = Plan
        fields = ["name", "purpose"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["name"].required = True
        self.fields["name"].label = _("Name")
        self.fields["name"].help_text = _("You will see it in lists and chats.")
        self.fields["name"].widget.attrs |= {"placeholder": _("Fin-coach"), "autocomplete": "off"}


class TypedExamplesForm(forms.Form):
    name = forms.CharField(label=_("Name of this set"), max_length=120)
    text = forms.CharField(
        label=_("Examples"),
        widget=forms.Textarea(attrs={"rows": 12, "class": "mono", "spellcheck": "false"}),
        help_text=_(
            "A line that begins with Q: and one that begins with A:, an empty line between examples. "
            "Or paste anything that a file may hold."
        ),
    )


class AdvancedForm(forms.Form):
    """Settings that differ from what suits the base model are kept in the plan; the engine checks them."""

    def __init__(self, *args, recommended: dict, **kwargs):
        super().__init__(*args, **kwargs)
        self.terms = {}
        for setting in describe():
            if setting["name"] not in SHOWN:
                continue
            field = field_for(setting)
            field.initial = recommended.get(setting["name"], setting["default"])
            self.fields[setting["name"]] = field
            self.terms[setting["name"]] = setting["term"]

    def rows(self):
        """Bound fields with the field's own word for each."""
        return [{"field": self[name], "term": self.terms[name]} for name in self.fields]

    def changed_settings(self) -> dict:
        """Only what was changed by hand."""
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if value is not None and value != self.fields[name].initial
        }


def field_for(setting: dict) -> forms.Field:
    """A form field with the setting's label, help and bounds."""
    shared = {"label": setting["label"], "help_text": setting["help"], "required": not setting["optional"]}
    bounds = {"min_value": setting["minimum"], "max_value": setting["maximum"]}
    if setting["kind"] == "choice":
        return forms.ChoiceField(choices=[(choice, choice) for choice in setting["choices"]], **shared)
    if setting["kind"] == "integer":
        return forms.IntegerField(**shared, **bounds)
    return forms.FloatField(**shared, **bounds, widget=forms.NumberInput(attrs={"step": "any"}))


class CurveForm(forms.Form):
    """What a curve asks for: names of series, how many columns it has room for, and which steps."""

    series = forms.CharField(required=False, max_length=400)
    columns = forms.IntegerField(required=False, min_value=1)
    first = forms.IntegerField(required=False, min_value=0, max_value=LAST)
    last = forms.IntegerField(required=False, min_value=0, max_value=LAST)

    def clean(self) -> dict:
        """Keywords of `selectors.points`."""
        found = super().clean() or {}
        names = [name for name in (found.get("series") or "loss,eval_loss").split(",") if name]
        return {
            "names": list(dict.fromkeys(names)),
            "columns": found.get("columns") or MOST_COLUMNS,
            "first": found.get("first") or 0,
            "last": found.get("last"),
        }


class CompareForm(forms.Form):
    """Which numbers of several trainings are drawn, and along what."""

    series = forms.RegexField(r"^\w+$", required=False, max_length=100)
    by = forms.ChoiceField(choices=[(axis, axis) for axis in AXES], required=False)
    columns = forms.IntegerField(required=False, min_value=1)

    def clean(self) -> dict:
        """Keywords of `comparing.lines`."""
        found = super().clean() or {}
        return {
            "series": found.get("series") or "loss",
            "by": found.get("by") or "step",
            "columns": min(found.get("columns") or 400, MOST_COLUMNS),
        }
