"""What is typed on the pages of keys. A key goes in and is never sent back."""

from django import forms
from django.utils.translation import gettext_lazy as _

from apex.common.forms import secret_input
from apex.common.secrets import LONGEST_SECRET
from providers.models import ProviderKey
from providers.registry import provider_class
from providers.services import BadKey


class KeyForm(forms.Form):
    """The fields of one provider; on a key that is there, an empty secret stays as it is."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("For you, such as: team account."))
    base_url = forms.CharField(label=_("Address"), max_length=300, required=False, widget=forms.URLInput)
    key = forms.CharField(label=_("Key"), max_length=LONGEST_SECRET, widget=secret_input())

    def __init__(self, *args, provider: str, row: ProviderKey | None = None, **kwargs):
        initial = {"name": row.name, "base_url": row.base_url} if row else {"name": "default"}
        super().__init__(*args, initial=initial, **kwargs)
        made = provider_class(provider)
        self.fields["key"].required = row is None and made.needs_key
        if row is not None:
            self.fields["key"].label = _("New key")
            self.fields["key"].help_text = _("Left empty: the key stays as it is.")
        elif made.needs_key:
            self.fields["key"].help_text = _(
                "Kept encrypted, used for your questions only, never shown again."
            )
        else:
            self.fields["key"].help_text = _("Left empty: it is asked without one.")
        if not made.takes_address:
            del self.fields["base_url"]
            return
        address = self.fields["base_url"]
        address.required = not made.default_address
        if made.needs_key and made.default_address:  # few need it: it comes last
            self.order_fields(["name", "key", "base_url"])
            address.label = _("Another address")
            address.help_text = _(
                "Left empty: %(address)s. Only for a proxy of your own before it; an admin has to allow private places."
            ) % {"address": made.default_address}
            return
        address.help_text = _("Such as https://models.example.org/v1. An admin has to allow private places.")
        if made.default_address:
            address.help_text = _("Left empty: %(address)s. An admin has to allow private places.") % {
                "address": made.default_address
            }

    def asked(self) -> dict:
        """What the services take; no key where none was entered."""
        found = {name: self.cleaned_data[name] for name in ("name", "base_url") if name in self.cleaned_data}
        return found | ({"key": self.cleaned_data["key"]} if self.cleaned_data["key"] else {})


class ShareForm(forms.Form):
    with_everybody = forms.BooleanField(label=_("Everybody here may use it"), required=False)
    names = forms.CharField(
        label=_("Or these people"),
        required=False,
        max_length=2000,
        help_text=_("User names, with commas between them. They use the key and never see it."),
    )

    def __init__(self, *args, row: ProviderKey, **kwargs):
        names = ", ".join(row.shared_with.order_by("username").values_list("username", flat=True))
        super().__init__(*args, initial={"with_everybody": row.is_shared, "names": names}, **kwargs)

    def asked(self) -> dict:
        names = [name.strip() for name in self.cleaned_data["names"].split(",") if name.strip()]
        return {"with_everybody": self.cleaned_data["with_everybody"], "names": names}

    def add_problem(self, problem: BadKey) -> None:
        self.add_error("names" if problem.field == "shared_with" else None, str(problem))
