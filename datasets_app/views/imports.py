"""Examples on their way in: how far they are, why they were refused, which column is what."""

from collections import Counter

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import selectors, services
from datasets_app.columns import NamedColumns
from datasets_app.models import DatasetImport, ImportStatus
from datasets_app.reading.report import csv_of

FAULTS_SHOWN = 20
SAME_SHOWN = 3


def open_import(request: HttpRequest, import_id) -> DatasetImport:
    return owned_or_404(selectors.imports_for_list(request.user), request.user, pk=import_id)


@login_required
@require_GET
def import_detail(request: HttpRequest, import_id) -> HttpResponse:
    imported = open_import(request, import_id)
    if imported.status == ImportStatus.DONE and imported.version:
        if next_url := imported.recipe.get("next"):
            return redirect(f"{next_url}?import={imported.pk}")
        address = reverse("datasets:dataset-detail", args=[imported.version.dataset_id])
        return redirect(f"{address}?version={imported.version.number}")
    return render(request, "datasets_app/import_detail.html", import_context(request, imported))


@login_required
@require_GET
def import_status(request: HttpRequest, import_id) -> HttpResponse:
    """The part that changes while it is checked; once it has ended, the page that shows it is read anew."""
    imported = open_import(request, import_id)
    response = render(request, "datasets_app/_import.html", {"imported": imported})
    if imported.status not in selectors.UNDER_WAY:
        response["HX-Refresh"] = "true"
    return response


def import_context(request: HttpRequest, imported: DatasetImport) -> dict:
    context = {
        "imported": imported,
        "is_under_way": imported.status in selectors.UNDER_WAY,
        "api_curl": curl(request, reverse("api-import-detail", args=[imported.pk])),
        "can_go_again": services.can_go_again(imported),
    }
    if imported.status == ImportStatus.REFUSED:
        report = selectors.report_of(imported)
        # The message of the page has said what is wrong with the whole file.
        faults = [fault for fault in report.get("errors", []) if fault["line"] is not None]
        context |= {
            "report": report,
            "faults": first_of_each(faults),
            "fault_count": max(len(faults), report.get("error_count", 0)),
        }
        if context["can_go_again"] and report.get("columns"):
            context["columns"] = NamedColumns(report["columns"], request.GET or imported.mapping)
    return context


def first_of_each(faults: list[dict]) -> list[dict]:
    """The first faults, at most three that say the same. Nothing is left out of a file that is refused whole."""
    seen: Counter[str] = Counter()
    shown = []
    for fault in faults:
        seen[fault.get("problem", "")] += 1
        if seen[fault.get("problem", "")] <= SAME_SHOWN:
            shown.append({**fault, "severity": "found"})
    return shown[:FAULTS_SHOWN]


@login_required
@require_GET
def import_columns(request: HttpRequest, import_id) -> HttpResponse:
    """A fragment: the first rows as they would be read with the columns that the address names."""
    imported = open_import(request, import_id)
    report = selectors.report_of(imported)
    if not report.get("columns"):
        raise Http404
    columns = NamedColumns(report["columns"], request.GET)
    return render(request, "datasets_app/_columns_preview.html", {"columns": columns})


@login_required
@require_POST
def import_again(request: HttpRequest, import_id) -> HttpResponse:
    """The same bytes once more: after a crash, or with the columns that the form names."""
    imported = open_import(request, import_id)
    mapping = None
    if "as" in request.POST:
        columns = NamedColumns(selectors.report_of(imported).get("columns", {}), request.POST)
        if columns.fault:
            messages.error(request, columns.fault)
            return redirect("datasets:import-detail", import_id=imported.pk)
        mapping = columns.mapping
    if imported.status not in (ImportStatus.REFUSED, ImportStatus.CRASHED):
        return redirect("datasets:import-detail", import_id=imported.pk)
    try:
        again = services.import_again(imported=imported, mapping=mapping)
    except services.CannotGoAgain as problem:
        messages.error(request, str(problem))
        return redirect("datasets:import-detail", import_id=imported.pk)
    return redirect("datasets:import-detail", import_id=again.pk)


@login_required
@require_POST
def import_cancel(request: HttpRequest, import_id) -> HttpResponse:
    imported = open_import(request, import_id)
    if services.cancel_import(imported=imported):
        messages.success(request, _("“%(name)s” is cancelled; nothing of it is kept.") % {"name": imported})
        return redirect("datasets:dataset-list")
    messages.info(request, _("“%(name)s” had already ended.") % {"name": imported})
    return redirect("datasets:import-detail", import_id=imported.pk)


@login_required
@require_POST
def import_forget(request: HttpRequest, import_id) -> HttpResponse:
    imported = open_import(request, import_id)
    name = str(imported)
    services.forget_import(imported=imported)
    messages.success(request, _("“%(name)s” is forgotten, with its report.") % {"name": name})
    return redirect("datasets:dataset-list")


@login_required
@require_GET
def import_report(request: HttpRequest, import_id) -> HttpResponse:
    """The whole report as a file: JSON, or `?as=csv` with a line for each fault."""
    imported = open_import(request, import_id)
    report = selectors.report_of(imported)
    if not report:
        raise Http404
    if request.GET.get("as") != "csv":
        response = JsonResponse(report, json_dumps_params={"indent": 1, "ensure_ascii": False})
        response["Content-Disposition"] = 'attachment; filename="report.json"'
        return response
    response = HttpResponse(csv_of(report), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="report.csv"'
    return response
