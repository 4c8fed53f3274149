"""What the pages of connections and references take in."""

from django import forms
from django.utils.translation import gettext_lazy as _

from apex.common.forms import secret_input
from datasets_app.models import Connection, ConnectionKind
from datasets_app.services.connections import CREDENTIALS

LABELS = {
    "token": _("Token"),
    "access_key_id": _("Access key ID"),
    "secret_access_key": _("Secret access key"),
    "session_token": _("Session token (if there is one)"),
}
ENDPOINTS = {
    ConnectionKind.HTTPS: (_("Host"), _("Such as https://data.example.org. The token goes there and nowhere else.")),
    ConnectionKind.S3: (
        _("Address of the store"),
        _(
            "Left empty: Amazon. Otherwise your own, such as https://minio.example.org; an admin has to allow a "
            "private one."
        ),
    ),
    ConnectionKind.GS: (_("Address of the store"), _("Left empty: Google Cloud Storage.")),
    ConnectionKind.HF: (_("Address of the hub"), _("Left empty: huggingface.co.")),
}  # fmt: skip


class ConnectionForm(forms.Form):
    """The fields of one kind. Secrets are never sent back; left empty on an existing connection they stay."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("For you, such as: lab bucket."))
    endpoint_url = forms.CharField(max_length=300, required=False, widget=forms.URLInput)
    region = forms.CharField(
        label=_("Region"),
        max_length=40,
        required=False,
        help_text=_("Left empty: us-east-1, or as the store says."),
    )

    def __init__(self, *args, kind: str, connection: Connection | None = None, **kwargs):
        initial = {}
        if connection is not None:
            initial = {
                "name": connection.name,
                "endpoint_url": connection.endpoint_url,
                "region": connection.region,
            }
        super().__init__(*args, initial=initial, **kwargs)
        label, help_text = ENDPOINTS[kind]
        self.fields["endpoint_url"].label, self.fields["endpoint_url"].help_text = label, help_text
        self.fields["endpoint_url"].required = kind == ConnectionKind.HTTPS
        if kind != ConnectionKind.S3:
            del self.fields["region"]
        self.secrets, optional, _shown = CREDENTIALS[kind]
        for secret in self.secrets:
            self.fields[secret] = forms.CharField(
                label=LABELS[secret],
                required=connection is None and secret not in optional,
                strip=True,
                widget=secret_input(),
                help_text=_("Kept as it is if left empty.") if connection is not None else "",
            )

    def asked(self) -> dict:
        """What the services take; no credentials where none were entered."""
        found = {name: self.cleaned_data.get(name, "") for name in ("name", "endpoint_url", "region")}
        credentials = {name: self.cleaned_data[name] for name in self.secrets if self.cleaned_data[name]}
        return {**found, "credentials": credentials}


class ReferenceForm(forms.Form):
    """An address, and by which connection it is read."""

    uri = forms.CharField(
        label=_("Address"),
        max_length=2000,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}),
    )
    connection = forms.ModelChoiceField(
        label=_("Read with"),
        queryset=Connection.objects.none(),
        required=False,
        empty_label=_("nothing: it is public"),
    )
    name = forms.CharField(
        label=_("Name of this set"),
        max_length=120,
        required=False,
        help_text=_("Left empty: the name of the file."),
    )

    def __init__(self, *args, connections, with_name: bool, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["connection"].queryset = connections
        if not with_name:
            del self.fields["name"]
