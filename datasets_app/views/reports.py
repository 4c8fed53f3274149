"""Downloads about one version: its report, and its good rows."""

import base64

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from apex.common.access import owned_or_404
from datasets_app import selectors, services
from datasets_app.models import DatasetVersion

FAULTS_IN_PAGE = 1000


def report_in_page(problem: services.DatasetRefused) -> str:
    """The report on a file that was refused at once, and of which nothing is kept, as an address that holds it."""
    if problem.report is None:
        return ""
    report = problem.report.as_dict()
    for severity in ("errors", "warnings"):
        report[severity] = report[severity][:FAULTS_IN_PAGE]
    table = selectors.report_csv(report).encode("utf-8", "replace")
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(table).decode()


@login_required
@require_GET
def version_report(request: HttpRequest, version_id) -> HttpResponse:
    """The whole report as a file: JSON, or `?as=csv` with a line for each fault."""
    version = owned_or_404(DatasetVersion, request.user, pk=version_id)
    report = selectors.report_of_version(version)
    if request.GET.get("as") == "csv":
        response = HttpResponse(selectors.report_csv(report), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="report.csv"'
        return response
    response = JsonResponse(report, json_dumps_params={"indent": 1, "ensure_ascii": False})
    response["Content-Disposition"] = 'attachment; filename="report.json"'
    return response


@login_required
@require_GET
def version_cleaned(request: HttpRequest, version_id) -> HttpResponse:
    """The good rows as a file that can be brought again."""
    version = owned_or_404(DatasetVersion, request.user, pk=version_id)
    try:
        lines = services.good_rows(version=version)
    except services.NoRowsHere as problem:
        messages.error(request, str(problem))
        return redirect("datasets:dataset-detail", dataset_id=version.dataset_id)
    return StreamingHttpResponse(
        lines,
        content_type="application/jsonl",
        headers={"Content-Disposition": 'attachment; filename="cleaned.jsonl"'},
    )
