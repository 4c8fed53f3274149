from django import forms
from django.utils.translation import gettext_lazy as _


class AddModelForm(forms.Form):
    location = forms.CharField(
        label=_("Directory or hub id"),
        max_length=500,
        help_text=_("A directory on this machine with safetensors, or organisation/model on the hub."),
    )
    name = forms.SlugField(
        label=_("Name"), max_length=80, required=False, help_text=_("As programs call it. Optional.")
    )
