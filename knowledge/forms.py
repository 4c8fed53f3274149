"""What the pages of knowledge take in."""

from django import forms
from django.utils.translation import gettext_lazy as _

from knowledge.chunking import LARGEST, SMALLEST
from knowledge.embeddings import EMBEDDINGS, default_name
from knowledge.embeddings.minilm import is_installed
from knowledge.embeddings.provided import able_providers
from knowledge.reranking import able_providers as able_rerankers
from knowledge.stores import STORES

HELP = {
    "minilm": _("finds what is meant, also in other words; best at English"),
    "provider": _("finds what is meant; every text goes to the provider, and its price is yours"),
    "words": _("finds what is said in the same words, in any language; quick"),
}


def embedding_choices() -> list[tuple[str, str]]:
    """Each with what it is good at; what is not installed says so."""
    found = []
    for name, kind in EMBEDDINGS.items():
        words = f"{kind.label}: {HELP.get(name, '')}"
        if name == "minilm" and not is_installed():
            words = _("%(label)s (not installed here; a superuser adds the extra “embed”)") % {
                "label": kind.label
            }
        found.append((name, words))
    return found


def provider_choices() -> list[tuple[str, str]]:
    return [("", "–"), *able_providers()]


def store_choices() -> list[tuple[str, str]]:
    return [(name, each.label) for name, each in STORES.items() if not each.problem()]


class IndexForm(forms.Form):
    """How a base is searched, and how its documents are cut."""

    embedding = forms.ChoiceField(
        label=_("How to search"), choices=embedding_choices, widget=forms.RadioSelect
    )
    provider = forms.ChoiceField(
        label=_("Provider"),
        choices=provider_choices,
        required=False,
        help_text=_("Only for a provider's model; add its key under Settings."),
    )
    model = forms.CharField(
        label=_("Its model"), max_length=200, required=False, help_text=_("Such as text-embedding-3-small.")
    )
    chunk_size = forms.IntegerField(
        label=_("Characters in a piece"), min_value=SMALLEST, max_value=LARGEST, initial=1200,
        help_text=_("Smaller pieces are found more exactly, larger ones say more."),
    )  # fmt: skip
    chunk_overlap = forms.IntegerField(
        label=_("Characters that neighbours share"), min_value=0, max_value=LARGEST // 2, initial=150
    )
    store = forms.ChoiceField(
        label=_("Where vectors are kept"),
        choices=lambda: store_choices(),
    )

    def __init__(self, *args, index=None, **kwargs) -> None:
        first = {"embedding": default_name(), "store": "built_in"}
        if index is not None:
            first = {name: getattr(index, name) for name in self.base_fields}
            first["model"] = index.model if index.embedding == "provider" else ""
        super().__init__(*args, initial={**first, **kwargs.pop("initial", {})}, **kwargs)
        if len(store_choices()) == 1:
            self.fields["store"].widget = forms.HiddenInput()


class BaseForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=120, widget=forms.TextInput(attrs={"placeholder": _("Harbour handbook")})
    )
    description = forms.CharField(label=_("What is in it"), max_length=300, required=False)
    embedding = IndexForm.base_fields["embedding"]

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # A provider needs more than fits here; it is chosen on the base's own page.
        self.fields["embedding"].choices = [each for each in embedding_choices() if each[0] != "provider"]
        self.fields["embedding"].initial = default_name()


class RenameForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    description = forms.CharField(label=_("What is in it"), max_length=300, required=False)


class RerankForm(forms.Form):
    """Who puts what was found in order once more."""

    rerank_provider = forms.ChoiceField(
        label=_("Provider"),
        choices=lambda: [("", _("nobody: the order of words and meaning")), *able_rerankers()],
        required=False,
        help_text=_(
            "Up to 32 pieces go there with each question, and its price is yours. Add its key under Settings."
        ),
    )
    rerank_model = forms.CharField(
        label=_("Its model"), max_length=200, required=False, help_text=_("Such as BAAI/bge-reranker-v2-m3.")
    )
