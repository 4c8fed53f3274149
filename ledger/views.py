"""Usage: what was used, what it cost, what is left; the same as CSV; limits of one's own."""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from ledger import plots, selectors, services
from ledger.api.views import csv_response
from ledger.forms import LimitForm, WishForm
from ledger.models import Budget

LINES_SHOWN = 20
ROWS_SHOWN = 50


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponseBase:
    form = WishForm(request.GET or None, is_superuser=request.user.is_superuser)
    wish = form.wish()
    lines, sums = selectors.lines_for(request.user, wish), selectors.sums_for(request.user, wish)
    days, models = selectors.grouped(sums, ["day"]), selectors.grouped(sums, ["model", "provider"])
    minions = [row for row in selectors.grouped(sums, ["minion"]) if row["minion"]]
    context = {
        "form": form,
        "limit_form": LimitForm(),
        "wish": wish,
        "total": selectors.total(sums),
        "errors": selectors.errors_in(sums)[:ROWS_SHOWN],
        "plots": plots.plots_of(days, models, wish),
        "days": days[::-1][:ROWS_SHOWN],
        "models": models[:ROWS_SHOWN],
        "minions": minions[:ROWS_SHOWN],
        "people": selectors.grouped(sums, ["owner"])[:ROWS_SHOWN] if wish.is_everybodys else [],
        "lines": lines.order_by("-at", "-pk")[:LINES_SHOWN],
        "standings": selectors.standings(request.user),
        "query": urlencode(request.GET),
        "site": request.build_absolute_uri("/").rstrip("/"),
        "choices": selectors.choices_in(sums)["model"],
    }
    return render(request, "ledger/usage.html", context)


@login_required
@require_GET
def export(request: HttpRequest) -> HttpResponseBase:
    """Every line of what the page shows, or one of its tables: `by` day, model, minion, error, owner."""
    form = WishForm(request.GET or None, is_superuser=request.user.is_superuser)
    wish = form.wish()
    by = [name for name in request.GET.get("by", "").split(",") if name in selectors.GROUPS]
    if not (wish.is_everybodys and request.user.is_superuser):
        by = [name for name in by if name != "owner"]
    return csv_response(request.user, wish, by)


@login_required
@require_POST
def set_limit(request: HttpRequest) -> HttpResponseBase:
    form = LimitForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("The limit was not set: say how much, from 0 on."))
        return redirect("usage:page")
    try:
        services.set_budget(owner=request.user, is_own=True, **form.cleaned_data)
    except services.BudgetRefused as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("Your limit holds from now on."))
    return redirect("usage:page")


@login_required
@require_POST
def remove_limit(request: HttpRequest, budget_id) -> HttpResponseBase:
    budget = Budget.objects.for_user(request.user).filter(is_own=True, pk=budget_id).first()
    if budget is None:
        raise Http404
    services.remove_budget(budget=budget)
    messages.success(request, _("Your limit is gone; those of the house stay."))
    return redirect("usage:page")
