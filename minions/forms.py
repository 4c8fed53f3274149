"""The form of a minion, in plain words; its outside models are a row of forms below it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from knowledge.models import KnowledgeBase
from minions.models import Minion
from minions.recipes import KINDS, MOST_RETRIES, USUAL_KINDS
from minions.services import PLAIN
from providers.registry import all_providers
from providers.selectors import usable_keys
from serving.selectors import adapters_for


class MinionForm(forms.ModelForm):
    """`wanted()` is what the services take; the outside models come from `LinkForms`."""

    class Meta:
        model = Minion
        fields = [*PLAIN, "adapter", "knowledge_bases"]
        widgets = {
            "persona": forms.Textarea(attrs={"rows": 5}),
            "mode": forms.RadioSelect,
            "knowledge_bases": forms.CheckboxSelectMultiple,
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
        }

    def __init__(self, *args, owner, **more):
        super().__init__(*args, **more)
        self.fields["adapter"].queryset = (
            adapters_for(owner).select_related("base_model").order_by("-created_at")
        )
        self.fields["adapter"].empty_label = _("Nothing learned")
        self.fields["adapter"].label_from_instance = adapter_words
        self.fields["knowledge_bases"].queryset = KnowledgeBase.objects.for_user(owner).order_by("name")
        self.fields["knowledge_bases"].required = False

    def _get_validation_exclusions(self):
        return {*super()._get_validation_exclusions(), "owner"}

    def wanted(self) -> dict[str, Any]:
        return {**self.cleaned_data, "knowledge_bases": list(self.cleaned_data["knowledge_bases"])}


def adapter_words(adapter) -> str:
    words = _("%(name)s on %(base)s") % {"name": adapter.name, "base": adapter.base_model.display_name}
    return f"{words} · {adapter.created_at:%d.%m. %H:%M}"


class LinkForm(forms.Form):
    """One outside model; a row whose model is empty does not count."""

    source = forms.ChoiceField(label=_("From"), required=False)
    model = forms.CharField(
        label=_("Model"), max_length=200, required=False,
        help_text=_("As the provider calls it, such as gpt-4o-mini."),
    )  # fmt: skip
    most_cost = forms.DecimalField(
        label=_("Most it may cost, $ an answer"),
        required=False,
        min_value=0,
        decimal_places=6,
        localize=False,
    )
    first_seconds = forms.FloatField(
        label=_("Longest wait for first words, s"), required=False, min_value=0.1
    )
    context = forms.IntegerField(label=_("Reads at most, tokens"), required=False, min_value=1)
    retries = forms.IntegerField(
        label=_("Tries again"), required=False, min_value=0, max_value=MOST_RETRIES, initial=1
    )
    has_tools = forms.BooleanField(label=_("It may be given tools"), required=False, initial=True)
    falls_back_on = forms.MultipleChoiceField(
        label=_("The next one is asked after"), required=False, widget=forms.CheckboxSelectMultiple,
        initial=list(USUAL_KINDS),
        choices=[
            ("overload", _("trouble there (overload)")), ("network", _("no connection, or silence")),
            ("rate", _("too many questions")), ("quota", _("no credit left")), ("auth", _("a key that is refused")),
            ("context", _("a question too long for it")), ("content", _("a question against its rules")),
        ],
    )  # fmt: skip

    def __init__(self, *args, owner, **more):
        super().__init__(*args, **more)
        self.fields["source"].choices = sources_for(owner)

    def link(self) -> dict[str, Any] | None:
        """As the API takes it; None for an empty row."""
        said = self.cleaned_data
        if not said.get("model", "").strip():
            return None
        provider, _mark, key = said["source"].partition("|")
        cost = said["most_cost"]
        return {
            "provider": provider, "key": key or None, "model": said["model"].strip(),
            "most_cost": None if cost is None else str(cost), "first_seconds": said["first_seconds"],
            "context": said["context"], "retries": said["retries"] or 0, "has_tools": said["has_tools"],
            "falls_back_on": said["falls_back_on"],
        }  # fmt: skip


class BaseLinkForms(forms.BaseFormSet):
    def add_fields(self, form, index):
        super().add_fields(form, index)
        form.fields["DELETE"].label = _("Leave it out")

    def chain(self) -> list[dict[str, Any]]:
        """The links in order, without empty and removed rows."""
        kept = [form for form in self.forms if form not in self.deleted_forms]
        return [link for form in kept if form.has_changed() and (link := form.link())]


LinkForms = forms.formset_factory(LinkForm, formset=BaseLinkForms, extra=1, max_num=10, can_delete=True)


def link_values(link: dict[str, Any]) -> dict[str, Any]:
    """A stored link as a form begins with it."""
    return link | {"source": f"{link['provider']}|{link.get('key') or ''}"}


def sources_for(owner) -> list[tuple[str, str]]:
    """Providers and the keys that open them: `provider|key` and its words."""
    labels = {name: kind.label for name, kind in all_providers().items()}
    found = [
        (f"{key.provider}|{key.pk}", f"{labels.get(key.provider, key.provider)}: {key.name}")
        for key in usable_keys(owner)
    ]
    any_key = [
        (f"{name}|", _("%(provider)s, the first key that fits") % {"provider": label})
        for name, label in labels.items()
    ]
    return [*found, *any_key]


assert set(KINDS) == set(dict(LinkForm.base_fields["falls_back_on"].choices)), (
    "the form lacks a kind of failure"
)
