"""What the pages of examples take in."""

from django import forms
from django.utils.translation import gettext_lazy as _

from datasets_app.models import Dataset


class FileForm(forms.Form):
    """A file, and a name for the set when its own will not do."""

    name = forms.CharField(
        label=_("Name of this set"),
        max_length=120,
        required=False,
        help_text=_("Left empty: the name of the file."),
    )
    file = forms.FileField(
        label=_("File"),
        allow_empty_file=True,  # the reader says it better
        error_messages={"required": _("No file came. Choose one, or drop it on the field.")},
    )


class TypedForm(forms.Form):
    name = forms.CharField(label=_("Name of this set"), max_length=120)
    text = forms.CharField(
        label=_("Examples"),
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 12,
                "class": "input mono",
                "spellcheck": "false",
                "placeholder": _(
                    "Q: What are your hours?\nA: We are open from 9 to 17.\n\nQ: Where are you?\nA: In Ulm."
                ),
            }
        ),
        help_text=_(
            "Begin each question with Q: and each answer with A:, with a blank line between examples. "
            "Or paste a table or JSON in any shape that a file may have."
        ),
    )


class RenameForm(forms.ModelForm):
    class Meta:
        model = Dataset
        fields = ["name", "description"]
        labels = {"name": _("Name"), "description": _("What it shows")}
