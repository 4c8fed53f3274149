"""What a minion may cost and how often it may be asked, set on its page."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from ledger.services import BudgetRefused, remove_budget
from minions import services, spending
from minions.forms import LimitForm, PaceForm
from minions.views.pages import minion_or_404


@login_required
@require_POST
def set_limit(request, minion_id):
    minion = minion_or_404(request.user, minion_id)
    form = LimitForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("No limit was set: say how many dollars, from 0 on."))
        return back(minion)
    said = form.cleaned_data
    try:
        spending.set_limit(minion=minion, dollars=said["limit"], period=said["period"])
    except BudgetRefused as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("The limit holds from now on; what is used already counts."))
    return back(minion)


@login_required
@require_POST
def remove_limit(request, minion_id, budget_id):
    minion = minion_or_404(request.user, minion_id)
    budget = spending.own_budgets(minion).filter(pk=budget_id).first()
    if budget is None:
        raise Http404
    remove_budget(budget=budget)
    messages.success(request, _("This limit is gone; those of yours and of the house stay."))
    return back(minion)


@login_required
@require_POST
def set_pace(request, minion_id):
    """How many questions a minute it takes."""
    minion = minion_or_404(request.user, minion_id)
    form = PaceForm(request.POST)
    if form.is_valid():
        services.change_minion(minion=minion, **form.cleaned_data)
        messages.success(request, _("It holds from the next question on."))
    else:
        messages.error(
            request, _("Nothing was changed: say how many questions a minute, or 0 for any number.")
        )
    return back(minion)


def back(minion):
    response = redirect("minions:minion-detail", minion_id=minion.pk)
    response["Location"] += "#limits"
    return response
