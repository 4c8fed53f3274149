"""Pages of the gateway: the names by which one's old scripts call models."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from base_models.models import BaseModel
from gateway import aliases
from gateway.models import ModelAlias

EXAMPLE = {"name": "gpt-4o-mini", "base_model": "apex-demo"}


class AliasForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name that programs use"), max_length=120,
        help_text=gettext_lazy("Such as gpt-4o-mini; it then means gpt-4o-mini-2024-07-18, too."),
    )  # fmt: skip
    base_model = forms.ModelChoiceField(
        label=gettext_lazy("Base model that answers to it"), queryset=BaseModel.objects.on_this_machine()
    )


@login_required
@require_http_methods(["GET", "POST"])
def alias_list(request):
    """One's own aliases and the house's; a new one is made below them."""
    form = AliasForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            alias = aliases.create_alias(owner=request.user, **form.cleaned_data)
        except aliases.AliasRefused as problem:
            form.add_error(problem.field, str(problem))
        else:
            messages.success(request, _("%(name)s answers from now on.") % {"name": alias.name})
            return redirect("gateway_pages:alias-list")
    shown = {
        "form": form,
        "own": ModelAlias.objects.of(request.user).select_related("base_model"),
        "house": ModelAlias.objects.for_user(request.user).filter(owner=None).select_related("base_model"),
        "curl": curl(request, "/api/v1/model-aliases/", send=EXAMPLE),
    }
    return render(request, "gateway/alias_list.html", shown, status=422 if form.errors else 200)


@login_required
@require_POST
def delete_alias(request, alias_id):
    alias = owned_or_404(ModelAlias.objects.of(request.user), request.user, pk=alias_id)
    aliases.delete_alias(alias=alias)
    messages.success(request, _("%(name)s is no longer a name here.") % {"name": alias.name})
    return redirect("gateway_pages:alias-list")
