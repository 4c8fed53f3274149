"""The form that starts a chain: first examples, then comparisons."""

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from base_models.models import BaseModel
from training import selectors
from training.chains import StageWish
from training.gates import GATES
from training.kinds import LEARNED


class ChainForm(forms.Form):
    """Two stages with a gate behind each. An empty threshold asks nothing."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What it learns at the end is called so.")
    )
    base_model = forms.ModelChoiceField(
        BaseModel.objects.none(), label=_("Starting point"), to_field_name="name", empty_label=None
    )
    examples = forms.ChoiceField(
        label=_("First: examples to imitate"),
        help_text=_("Conversations in which the answer is as you would want it."),
    )
    better_by = forms.FloatField(
        label=_("Go on if it got better on unseen examples by at least (per cent)"),
        required=False,
        min_value=0,
        max_value=GATES["eval_loss"].maximum,
        initial=GATES["eval_loss"].default,
        help_text=f"{GATES['eval_loss'].help}",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    comparisons = forms.ChoiceField(
        label=_("Then: comparisons of answers"),
        help_text=_("A better and a worse answer to each question."),
    )
    prefers = forms.FloatField(
        label=_("Content if it prefers the better answer in at least (per cent)"),
        required=False,
        min_value=0,
        max_value=GATES["rewards_accuracy"].maximum,
        initial=GATES["rewards_accuracy"].default,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        self.versions = {}
        self.fields["base_model"].queryset = BaseModel.objects.for_user(user).on_this_machine()
        self.fields["better_by"].help_text = GATES["eval_loss"].help
        self.fields["prefers"].help_text = GATES["rewards_accuracy"].help
        for name, method in (("examples", "sft"), ("comparisons", "dpo")):
            found = selectors.usable_versions(user, LEARNED[method])
            self.versions |= {str(version.pk): version for version in found}
            self.fields[name].choices = [(str(version.pk), version_words(version)) for version in found]

    @property
    def lacks(self) -> list[str]:
        """Fields for which the user has nothing to choose."""
        return [name for name in ("examples", "comparisons") if not self.fields[name].choices]

    def stages(self) -> list[StageWish]:
        values = self.cleaned_data
        return [
            StageWish(
                "sft", self.versions[values["examples"]], gate=gate_of("eval_loss", values["better_by"])
            ),
            StageWish(
                "dpo",
                self.versions[values["comparisons"]],
                gate=gate_of("rewards_accuracy", values["prefers"]),
            ),
        ]

    def refuse(self, field: str | None, message: str) -> None:
        """Puts the words of a refused start at the field that they concern."""
        field = field or ""
        places = {"stages.0": "examples", "stages.1": "comparisons"}
        if field.endswith("base_model"):
            self.add_error("base_model", message)
        else:
            self.add_error(
                next((name for start, name in places.items() if field.startswith(start)), None), message
            )


def gate_of(kind: str, percent: float | None) -> dict:
    return {"kind": "none"} if percent is None else {"kind": kind, "percent": percent}


def version_words(version) -> str:
    return ngettext(
        "%(name)s, version %(number)s (%(count)s example)",
        "%(name)s, version %(number)s (%(count)s examples)",
        version.row_count,
    ) % {"name": version.dataset.name, "number": version.number, "count": version.row_count}
