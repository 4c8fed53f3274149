"""Settings, keys: what opens other people's models. A key goes in and is never shown again."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from apex.common.forms import tell
from providers import selectors, services
from providers.base import ProviderFailed
from providers.forms import KeyForm, ShareForm
from providers.models import ProviderKey
from providers.registry import all_providers, facts_of, provider_class

EXAMPLE = {"provider": "openai", "name": "team account", "key": "sk-…"}


@login_required
@require_GET
def key_list(request: HttpRequest) -> HttpResponse:
    """One's own keys, those that are shared with one, and what there is to add."""
    rows = list(selectors.usable_keys(request.user))
    context = {
        "own": [row for row in rows if row.owner_id == request.user.pk],
        "lent": [row for row in rows if row.owner_id != request.user.pk],
        "cards": selectors.provider_cards(request.user),
        "curl": curl(request, reverse("api-provider-key-list"), send=EXAMPLE),
    }
    return render(request, "providers/key_list.html", context)


@login_required
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def key_add(request: HttpRequest) -> HttpResponse:
    """A key for the provider that `?provider=` names."""
    provider = request.POST.get("provider") or request.GET.get("provider") or "openai"
    takers = [facts for made in all_providers().values() if (facts := facts_of(made)).takes_keys]
    if provider not in [facts.name for facts in takers]:
        raise Http404
    form = KeyForm(request.POST or None, provider=provider)
    if request.method == "POST" and form.is_valid():
        try:
            row = services.create_key(owner=request.user, provider=provider, **form.asked())
        except services.BadKey as problem:
            tell(form, problem)
        else:
            messages.success(request, _("“%(name)s” is kept. Test it below.") % {"name": row.name})
            return redirect("providers:key-detail", key_id=row.pk)
    context = {
        "form": form,
        "provider": facts_of(provider_class(provider)),
        "providers": takers,
    }
    return render(request, "providers/key_add.html", context, status=422 if form.errors else 200)


@login_required
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def key_detail(request: HttpRequest, key_id) -> HttpResponse:
    """One of one's own keys: tested, renamed, replaced, shared."""
    row = owned_or_404(ProviderKey, request.user, pk=key_id)
    form = KeyForm(request.POST or None, provider=row.provider, row=row)
    if request.method == "POST" and form.is_valid():
        try:
            # Of its own row: a refusal leaves the one that the page shows as it was.
            services.change_key(row=owned_or_404(ProviderKey, request.user, pk=key_id), **form.asked())
        except services.BadKey as problem:
            tell(form, problem)
        else:
            messages.success(request, _("Saved."))
            return redirect("providers:key-detail", key_id=row.pk)
    return show_key(request, row, form=form)


@login_required
@require_POST
def key_test(request: HttpRequest, key_id) -> HttpResponse:
    """Asks the provider, and says what happened: in the list, or on the key's own page."""
    row = owned_or_404(ProviderKey, request.user, pk=key_id)
    said = ""
    try:
        said = services.try_key(row=row)
    except ProviderFailed as problem:
        said = problem.message
    if request.htmx:
        return render(request, "providers/_key_state.html", {"row": row})
    return show_key(request, row, said=said)


@login_required
@require_POST
def key_share(request: HttpRequest, key_id) -> HttpResponse:
    row = owned_or_404(ProviderKey, request.user, pk=key_id)
    if not request.user.is_superuser:
        raise Http404
    form = ShareForm(request.POST, row=row)
    if form.is_valid():
        try:
            services.share_key(row=row, **form.asked())
        except services.BadKey as problem:
            form.add_problem(problem)
        else:
            messages.success(request, _("Saved."))
            return redirect("providers:key-detail", key_id=row.pk)
    return show_key(request, row, share_form=form)


@login_required
@require_POST
def key_delete(request: HttpRequest, key_id) -> HttpResponse:
    row = owned_or_404(ProviderKey, request.user, pk=key_id)
    services.delete_key(row=row)
    messages.success(request, _("“%(name)s” is gone and opens nothing any more.") % {"name": row.name})
    return redirect("providers:key-list")


def show_key(request: HttpRequest, row: ProviderKey, *, form=None, share_form=None, said="") -> HttpResponse:
    is_lender = request.user.is_superuser
    context = {
        "row": row,
        "provider": facts_of(provider_class(row.provider)),
        "form": form or KeyForm(provider=row.provider, row=row),
        "share_form": share_form or (ShareForm(row=row) if is_lender else None),
        "said": said,
        "curl": curl(request, reverse("api-provider-key-test", args=[row.pk]), options="-X POST"),
    }
    is_refused = bool((form and form.errors) or (share_form and share_form.errors))
    return render(request, "providers/key_detail.html", context, status=422 if is_refused else 200)
