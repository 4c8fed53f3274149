"""Pages of chains: the list, starting one, its stages as they come, stopping it and letting it go on."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apex.common.access import owned_or_404
from training import chain_details, chains, services
from training.chain_forms import ChainForm
from training.models import Chain

PER_PAGE = 25


@login_required
def chain_list(request):
    page = Paginator(chain_details.chains_for_list(request.user), PER_PAGE).get_page(request.GET.get("page"))
    template = "training/chain_list.html"
    return render(request, f"{template}#rows" if request.htmx else template, {"page": page})


@login_required
def chain_add(request):
    form = ChainForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            chain = chains.start_chain(
                owner=request.user,
                name=form.cleaned_data["name"],
                base_model=form.cleaned_data["base_model"],
                stages=form.stages(),
            )
            return redirect("training:chain-detail", chain_id=chain.pk)
        except services.StartRefused as problem:
            form.refuse(problem.field, str(problem))
    status = 422 if form.errors else 200
    return render(request, "training/chain_add.html", {"form": form}, status=status)


@login_required
def chain_detail(request, chain_id):
    return render(request, "training/chain_detail.html", chain_context(request, chain_id))


@login_required
def chain_stages(request, chain_id):
    """The part of the page that changes; when the chain has ended, the whole page is read again."""
    context = chain_context(request, chain_id)
    response = render(request, "training/_chain_stages.html", context)
    if context["chain"].has_ended:
        response["HX-Refresh"] = "true"
    return response


def chain_context(request, chain_id) -> dict:
    chain = owned_or_404(Chain.objects.select_related("base_model"), request.user, pk=chain_id)
    steps = chain_details.steps(chain)
    last = steps[-1].stage.job if steps else None
    return {
        "chain": chain,
        "steps": steps,
        "adapter": last.adapter if last else None,
        "site": request.build_absolute_uri("/").rstrip("/"),
    }


@login_required
@require_POST
def cancel_chain(request, chain_id):
    chain = owned_or_404(Chain, request.user, pk=chain_id)
    if chains.cancel_chain(chain=chain):
        messages.success(request, _("%(name)s is stopped.") % {"name": chain.name})
    else:
        messages.info(request, _("%(name)s had already ended.") % {"name": chain.name})
    return redirect("training:chain-detail", chain_id=chain.pk)


@login_required
@require_POST
def go_on(request, chain_id):
    chain = owned_or_404(Chain, request.user, pk=chain_id)
    if not chains.go_on(chain=chain):
        messages.info(request, _("%(name)s is under way, or has come to its end.") % {"name": chain.name})
    return redirect("training:chain-detail", chain_id=chain.pk)


@login_required
@require_POST
def delete_chain(request, chain_id):
    chain = owned_or_404(Chain, request.user, pk=chain_id)
    try:
        chains.delete_chain(chain=chain)
    except services.DeleteRefused as problem:
        messages.error(request, str(problem))
        return redirect("training:chain-detail", chain_id=chain.pk)
    messages.success(request, _("%(name)s is deleted.") % {"name": chain.name})
    return redirect("training:chain-list")
