"""The log: one's own acts; everybody's for superusers."""

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from apex.common.calls import curl
from audit import selectors
from audit.models import Act, Way

ANY = ("", _("all"))
ON_A_PAGE = 50


class WishForm(forms.Form):
    act = forms.ChoiceField(label=_("What was done"), required=False, choices=[ANY, *Act.choices])
    via = forms.ChoiceField(label=_("By what way"), required=False, choices=[ANY, *Way.choices])
    q = forms.CharField(label=_("To what"), required=False, max_length=200)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    by = forms.CharField(label=_("By whom"), required=False, max_length=150)
    everybody = forms.BooleanField(label=_("Everybody’s"), required=False)

    def __init__(self, *args, is_superuser: bool, **kwargs):
        super().__init__(*args, **kwargs)
        if not is_superuser:
            del self.fields["by"], self.fields["everybody"]
        for name, field in self.fields.items():
            if name != "everybody":
                field.widget.attrs["class"] = "input"

    def asked(self) -> dict:
        """What can be read of it."""
        self.is_valid()
        return getattr(self, "cleaned_data", {})


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    form = WishForm(request.GET or None, is_superuser=request.user.is_superuser)
    rows = selectors.acts_for(request.user, **form.asked())
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "form": form,
        "page": Paginator(rows, ON_A_PAGE).get_page(request.GET.get("page")),
        "is_everybodys": bool(form.asked().get("everybody")),
        "query": f"&{query.urlencode()}" if query else "",
        "curl": curl(request, "/api/v1/audit/"),
    }
    return render(request, "audit/log.html", context)
