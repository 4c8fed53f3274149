"""What trainings measured: as curves, as files to take away, and several beside each other."""

import time
import uuid

from django.contrib.auth.decorators import login_required
from django.http import Http404, JsonResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils.text import slugify

from apex.common.access import owned_or_404
from apex.common.downloads import made_file_response
from training import charting, comparing, selectors
from training.forms import CompareForm, CurveForm
from training.metrics.exports import FORMATS
from training.models import TrainingJob

OFFERED = 50  # jobs to choose from on the page that compares


@login_required
def job_points(request, job_id):
    """`?series=loss,eval_loss&columns=900&first=0&last=5000`: curves as JSON, the extremes of each column exact."""
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    asked = CurveForm(request.GET)
    if not asked.is_valid():
        return JsonResponse({"errors": asked.errors}, status=400)
    return JsonResponse(selectors.points(job, **asked.cleaned_data))


@login_required
def job_metrics_file(request, job_id, kind):
    """Every step as a file: `csv`, `parquet` or `tensorboard`."""
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    if kind not in FORMATS:
        raise Http404
    return metrics_file_response(job, kind)


def metrics_file_response(job: TrainingJob, kind: str) -> StreamingHttpResponse:
    file_format, name = FORMATS[kind], slugify(job.name) or "training"
    # TensorBoard looks for this in the name of a file.
    name = (
        f"events.out.tfevents.{int(time.time())}.{name}"
        if kind == "tensorboard"
        else f"{name}-metrics.{file_format.EXTENSION}"
    )
    return made_file_response(selectors.exported_metrics(job, kind), name, file_format.CONTENT_TYPE)


@login_required
def compare_jobs(request):
    """`?job=…&job=…`: one chart and a table of what differs; with fewer than two, which to compare."""
    jobs = jobs_or_404(request)
    # An address that cannot be, written by hand, say, is drawn as if nothing was asked.
    form = CompareForm(request.GET if CompareForm(request.GET).is_valid() else QueryDict())
    form.full_clean()
    chosen, points = form.cleaned_data, form.data.copy()
    points.setlist("job", [str(job.pk) for job in jobs])
    series = comparing.names_of_all(jobs) if jobs else []
    entry = next((e for e in charting.chart_list() if chosen["series"] in e["series"]), None)
    context = {
        "jobs": jobs,
        "rows": comparing.table(jobs) if jobs else [],
        "series": series,
        "chosen": chosen,
        "unit": entry["unit"] if entry else "",
        "axes": comparing.AXES.items(),
        "axis": comparing.AXES[chosen["by"]],
        "points_query": points.urlencode(),
        "ids": ",".join(str(job.pk) for job in jobs),
        "others": selectors.jobs_for_list(request.user).exclude(pk__in=[job.pk for job in jobs])[:OFFERED],
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "training/compare.html", context)


@login_required
def compare_points(request):
    """The lines of the chart as JSON."""
    jobs = jobs_or_404(request)
    form = CompareForm(request.GET)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    return JsonResponse(comparing.lines(jobs, **form.cleaned_data) if jobs else {"lines": []})


def jobs_or_404(request) -> list[TrainingJob]:
    """The jobs that the address names, all of them the user's own."""
    try:
        ids = [uuid.UUID(asked) for asked in request.GET.getlist("job")]
    except ValueError as problem:
        raise Http404 from problem
    jobs = comparing.compared_jobs(request.user, ids)
    if jobs is None:
        raise Http404
    return jobs
