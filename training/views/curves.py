"""What a training measured: as curves, and as files to take away."""

import time

from django.contrib.auth.decorators import login_required
from django.http import Http404, JsonResponse, StreamingHttpResponse
from django.utils.text import slugify

from apex.common.access import owned_or_404
from apex.common.downloads import made_file_response
from training import selectors
from training.forms import CurveForm
from training.metrics.exports import FORMATS
from training.models import TrainingJob


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
