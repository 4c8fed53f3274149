"""Forms of the wizard. The settings are the engine's own (`training/engine/config.py`), so that they cannot differ."""

from django import forms
from django.utils.translation import gettext_lazy as _

from training.comparing import AXES
from training.continuing import KEPT_SETTINGS
from training.engine.config import describe
from training.kinds import methods_for
from training.metrics.curves import MOST_COLUMNS
from training.metrics.store import LAST
from training.models import METHODS, Plan, Purpose

MOST_DEVICES = 64


class GoalForm(forms.ModelForm):
    """Step 1: what should it learn, and what is it called."""

    purpose = forms.ChoiceField(
        label=_("What should it learn?"),
        choices=Purpose.choices,
        widget=forms.RadioSelect,
        initial=Purpose.STYLE,
        help_text=_(
            "A style or a task is learned from examples to imitate. A taste is learned from two answers to the same "
            "question, of which one is better, or from answers marked as good or bad."
        ),
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


class SettingsForm(forms.Form):
    """Every setting of the plan's method. `proposed` is what the base model and the preset propose.

    Only what differs from it is kept in the plan; the engine checks the values once more.
    """

    device_count = forms.IntegerField(
        label=_("GPUs"),
        min_value=1,
        max_value=MOST_DEVICES,
        initial=1,
        help_text=_("How many of one machine it should have together."),
    )

    def __init__(self, *args, plan: Plan, proposed: dict, **kwargs):
        super().__init__(*args, **kwargs)
        self.terms, self.basic, self.settings = {"device_count": _("devices")}, [], []
        self.fields["device_count"].initial = plan.device_count
        self._offer_methods(plan)
        kept = KEPT_SETTINGS if plan.start_adapter_id else ()
        for setting in describe(plan.method):
            name = setting["name"]
            if name in kept:
                continue
            field = field_for(setting)
            field.initial = shown(proposed.get(name, setting["default"]))
            self.initial[name] = shown(plan.config.get(name, proposed.get(name, setting["default"])))
            self.fields[name] = field
            self.settings.append(name)
            self.terms[name] = setting["term"]
            if setting["basic"]:
                self.basic.append(name)

    def _offer_methods(self, plan: Plan) -> None:
        """Where more than one way learns from these examples, it can be chosen."""
        names = methods_for(plan.dataset_version.kind)
        if len(names) > 1:
            choices = [(name, label) for name, label in METHODS if name in names]
            self.fields["method"] = forms.ChoiceField(
                label=_("Way of learning"), choices=choices, initial=plan.method, required=False
            )
            self.terms["method"] = _("method")

    def basic_rows(self):
        return [self._row(name) for name in self.basic]

    def expert_rows(self):
        return [self._row(name) for name in self.fields if name not in self.basic]

    def _row(self, name: str) -> dict:
        return {"field": self[name], "term": self.terms[name]}

    def has_expert_errors(self) -> bool:
        return any(name not in self.basic for name in self.errors)

    def changed_settings(self) -> dict:
        """Only what was changed by hand."""
        changed = {}
        for name in self.settings:
            value = self.cleaned_data.get(name)
            if value != self.fields[name].initial:
                changed[name] = listed(value) if name == "target_modules" else value
        return changed


def shown(value):
    """A setting's value as a field shows it."""
    return ", ".join(value) if isinstance(value, (list, tuple)) else value


def listed(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


def field_for(setting: dict) -> forms.Field:
    """A form field with the setting's label, help and bounds."""
    shared = {"label": setting["label"], "help_text": setting["help"], "required": not setting["optional"]}
    bounds = {"min_value": setting["minimum"], "max_value": setting["maximum"]}
    if setting["kind"] == "choice":
        return forms.ChoiceField(choices=[(choice, choice) for choice in setting["choices"]], **shared)
    if setting["kind"] == "list":
        return forms.CharField(**shared)
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
