"""Forms for people: an account, a profile, an API token."""

import logging
from datetime import timedelta
from pathlib import Path
from smtplib import SMTPException
from zoneinfo import available_timezones

from allauth.account.forms import LoginForm as BaseLoginForm
from allauth.account.forms import ResetPasswordForm as BaseResetPasswordForm
from allauth.account.forms import SignupForm as BaseSignupForm
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import AllowedPlace, Scope, User
from accounts.services import ALL_SCOPES, MOST_A_MINUTE, BadToken, clean_model_names
from apex.common.fetch import FetchRefused
from apex.common.fetch.places import clean_host, network_of, split_host

log = logging.getLogger(__name__)


class SignupForm(BaseSignupForm):
    """A name, an e-mail address if wanted, a password twice; the browser adds its time zone."""

    time_zone = forms.CharField(
        required=False, max_length=64, widget=forms.HiddenInput(attrs={"data-browser-time-zone": ""})
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Name")
        self.fields["username"].help_text = _("You sign in with it. Letters, digits and @ . + - _")
        self.fields["email"].label = _("E-mail (if you like)")
        self.fields["password1"].help_text = _("At least 8 characters, not only digits, not a common word.")
        self.fields["password2"].label = _("Password, once more")
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)

    def clean_time_zone(self) -> str:
        """The browser's zone where it is one; UTC otherwise, since nobody typed it and nobody could mend it."""
        name = self.cleaned_data["time_zone"]
        return name if name in available_timezones() else "UTC"

    def signup(self, request, user) -> None:
        """Called by allauth once the user is saved."""
        user.time_zone = self.cleaned_data["time_zone"]
        user.save(update_fields=["time_zone"])


class LoginForm(BaseLoginForm):
    """Knows whether a forgotten password can be set anew by e-mail."""

    is_mailed = property(lambda self: settings.MAIL_IS_SET_UP)


class ResetPasswordForm(BaseResetPasswordForm):
    """Sends a link to the address that is in a profile now; allauth remembers those of the sign-up, too, for good."""

    def clean_email(self) -> str:
        email = super().clean_email()
        found = User.objects.filter(is_active=True, email__iexact=email)
        # Once more as Python compares: a database may take other letters for the same.
        self.users = [user for user in found if user.email.lower() == email.lower()]
        return email

    def save(self, request, **more) -> str:
        try:
            return super().save(request, **more)
        except (OSError, SMTPException) as problem:
            # Whoever asks sees the same as for an address that is in no profile, and so does not learn which it is.
            log.error("a link for a forgotten password did not go out (%s)", type(problem).__name__)
            return self.cleaned_data["email"]


def time_zone_choices() -> list[tuple[str, str]]:
    """Every place that has a zone, in the way people look for it: Europe/Berlin, then the zones without a place."""
    names = sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/"))
    )
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class ProfileForm(forms.ModelForm):
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zone_choices)

    class Meta:
        model = User
        fields = ["first_name", "email", "mails_budgets", "time_zone"]
        labels = {
            "first_name": _("What to call you"),
            "email": _("E-mail"),
            "mails_budgets": _("E-mail me about my budgets"),
        }
        help_texts = {
            "first_name": _("Shown to you only. Leave it empty to be called by your user name."),
            "email": _("Used to reach you, never shown to others."),
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].help_text = _("Dates and times show in it.")
        if not settings.MAIL_IS_SET_UP:
            del self.fields["mails_budgets"]
        zone = self.instance.time_zone
        if zone and zone not in dict(self.fields["time_zone"].choices):
            self.fields["time_zone"].choices = [(zone, zone), *self.fields["time_zone"].choices]


class TokenForm(forms.Form):
    name = forms.CharField(
        label=_("What is it for?"), max_length=80, help_text=_("For example: my notebook, nightly job.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("What may it do?"),
        choices=Scope.choices,
        initial=ALL_SCOPES,
        widget=forms.CheckboxSelectMultiple,
    )
    model_names = forms.CharField(
        label=_("Which models may it ask?"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Their ids, one a line. Empty: all that you may ask."),
    )
    requests_per_minute = forms.IntegerField(
        label=_("How many questions a minute?"),
        required=False,
        min_value=1,
        max_value=MOST_A_MINUTE,
        help_text=_("And as many other calls of the API. Empty: as many as you may."),
    )
    days = forms.TypedChoiceField(
        label=_("How long is it good for?"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[
            ("", _("until you end it")),
            (1, _("a day")),
            (7, _("a week")),
            (30, _("30 days")),
            (90, _("90 days")),
            (365, _("a year")),
        ],
    )

    def clean_model_names(self) -> list[str]:
        try:
            return clean_model_names(self.cleaned_data["model_names"].splitlines())
        except BadToken as problem:
            raise ValidationError(str(problem)) from problem

    def asked(self) -> dict:
        """What `services.create_token` takes."""
        asked = dict(self.cleaned_data)
        days = asked.pop("days")
        return asked | {"expires_at": timezone.now() + timedelta(days=days) if days else None}


class AllowedPlaceForm(forms.ModelForm):
    """A place as it will be compared: a typing error here would open nothing, or too much."""

    class Meta:
        model = AllowedPlace
        fields = ["what", "place", "note"]
        help_texts = {
            "place": _(
                "minio.internal, minio.internal:9000, 10.1.2.0/24, or a directory such as /srv/datasets. Everybody "
                "with an account can read what is there and needs no password."
            )
        }

    def clean(self):
        asked = super().clean()
        place = (asked.get("place") or "").strip()
        if place and asked.get("what") == AllowedPlace.What.HOST:
            asked["place"] = clean_allowed_host(place)
        elif place and asked.get("what") == AllowedPlace.What.DIRECTORY:
            asked["place"] = clean_allowed_directory(place)
        return asked


def clean_allowed_host(place: str) -> str:
    if "://" in place:
        raise ValidationError({"place": _("Leave out %(scheme)s://.") % {"scheme": place.split("://")[0]}})
    network, port = network_of(place)
    if network is not None:
        return str(network) if port is None and network.num_addresses > 1 else place.lower()
    host, port = split_host(place)
    try:
        clean_host(host)
    except FetchRefused as problem:
        raise ValidationError({"place": str(problem)}) from problem
    return host if port is None else f"{host}:{port}"


def clean_allowed_directory(place: str) -> str:
    path = Path(place)
    if not path.is_absolute() or path == Path("/"):
        raise ValidationError({"place": _("Give a whole path, and not the whole machine.")})
    return str(path)
