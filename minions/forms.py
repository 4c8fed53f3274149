"""The form of a minion, in plain words; its outside models are a row of forms below it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from knowledge.models import KnowledgeBase
from ledger.models import Period
from minions.models import Minion
from minions.recipes import KINDS, MOST_LINKS, MOST_RETRIES, USUAL_KINDS
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


class LimitForm(forms.Form):
    """How much a minion may cost."""

    limit = forms.DecimalField(
        label=_("At most, US dollars"), min_value=0, max_digits=12, decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )  # fmt: skip
    period = forms.ChoiceField(label=_("Begins anew"), choices=Period.choices, initial=Period.MONTH)


class PaceForm(forms.ModelForm):
    """How often it may be asked."""

    class Meta:
        model = Minion
        fields = ["requests_per_minute"]


class LinkForm(forms.Form):
    """One outside model, and in plain words when it is asked; a row whose model is empty does not count."""

    source = forms.ChoiceField(label=_("From"), required=False)
    model = forms.CharField(
        label=_("Model"), max_length=200, required=False,
        help_text=_("As the provider calls it, such as gpt-4o-mini."),
    )  # fmt: skip
    most_cost = forms.DecimalField(
        label=_("Only if the answer costs at most, $"), required=False, min_value=0, decimal_places=6, localize=False,
        help_text=_("Reckoned before asking, from the question and the longest answer. A dearer question, and a model "
                    "whose price nobody knows, goes to the next one. Empty: whatever it costs."),
    )  # fmt: skip
    first_seconds = forms.FloatField(
        label=_("Only if it begins within, seconds"), required=False, min_value=0.1,
        help_text=_("When no word has come by then, the next one is asked. Empty: two minutes."),
    )  # fmt: skip
    context = forms.IntegerField(
        label=_("Only if question and answer fit into, tokens"), required=False, min_value=1,
        help_text=_("A token is about four letters. What is longer goes to the next one. Empty: it is tried."),
    )  # fmt: skip
    retries = forms.IntegerField(
        label=_("Ask it again, times"), required=False, min_value=0, max_value=MOST_RETRIES, initial=1,
        help_text=_("While it has not said a word, before the next one is asked."),
    )  # fmt: skip
    has_tools = forms.BooleanField(
        label=_("Ask it too when a program sends tools (functions) along"), required=False, initial=True
    )
    falls_back_on = forms.MultipleChoiceField(
        label=_("Ask the next one when this one has"), required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("With none ticked, its failure is the end: nobody else is asked."),
        initial=list(USUAL_KINDS),
        choices=[
            ("overload", _("trouble of its own (overload)")), ("network", _("no connection, or says nothing")),
            ("rate", _("too many questions at once (rate limit)")), ("quota", _("no credit left")),
            ("auth", _("refused the key")), ("context", _("found the question too long")),
            ("content", _("found the question against its rules")),
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
        return [link for form in kept if (link := form.link())]


LinkForms = forms.formset_factory(
    LinkForm, formset=BaseLinkForms, extra=1, max_num=MOST_LINKS, can_delete=True
)


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
