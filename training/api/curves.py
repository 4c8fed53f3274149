"""Curves and files of what a job measured: actions of `JobViewSet`."""

import uuid

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.response import Response

from apex.common.api_errors import Unacceptable
from training import comparing, selectors
from training.api.curve_serializers import CurvesSerializer, JobComparisonSerializer
from training.forms import CompareForm, CurveForm
from training.metrics.exports import FORMATS
from training.models import TrainingJob
from training.views.curves import metrics_file_response

NAMES = OpenApiParameter(
    "series", description="Names of series, comma-separated; loss,eval_loss if left out."
)
PLACES = [
    OpenApiParameter("columns", OpenApiTypes.INT, description="At most so many columns, 960 at most."),
    OpenApiParameter("first", OpenApiTypes.INT, description="From this step."),
    OpenApiParameter("last", OpenApiTypes.INT, description="To this step."),
]
UNPAGED: dict = {"queryset": TrainingJob.objects.none(), "filterset_fields": [], "ordering_fields": []}


class OurFormats(DefaultContentNegotiation):
    """`format` names a file here, not a renderer."""

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


def checked(form):
    """The form's values; 400 that names the first field that is wrong."""
    if not form.is_valid():
        field, (problem, *_) = next(iter(form.errors.items()))
        raise Unacceptable(f"{field}: {problem}", field=field)
    return form.cleaned_data


class CurveActions:
    @extend_schema(parameters=[NAMES, *PLACES], responses=CurvesSerializer)
    @action(detail=True, **UNPAGED)
    def curves(self, request, pk=None):
        """Series thinned to so many columns, with the exact lowest and highest value of each. 400 on a bad range."""
        return Response(selectors.points(self.get_object(), **checked(CurveForm(request.query_params))))

    @extend_schema(
        parameters=[OpenApiParameter("format", enum=list(FORMATS), description="csv if left out.")],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path="metrics/export", content_negotiation_class=OurFormats, **UNPAGED)
    def export_metrics(self, request, pk=None):
        """Every step with every digit: CSV, Parquet, or an event file for TensorBoard, sent while it is made."""
        job = self.get_object()
        kind = request.query_params.get("format", "csv")
        if kind not in FORMATS:
            raise Unacceptable(f"format is {kind!r}; there are {', '.join(FORMATS)}.", field="format")
        return metrics_file_response(job, kind)

    @extend_schema(
        parameters=[
            OpenApiParameter("jobs", required=True, description="UUIDs of your trainings, comma-separated."),
            OpenApiParameter(
                "series", description="One series to draw; loss, with the held-out loss, if left out."
            ),
            OpenApiParameter("by", enum=list(comparing.AXES), description="Along what; step if left out."),
            PLACES[0],
        ],
        responses=JobComparisonSerializer,
    )
    @action(detail=False, **UNPAGED)
    def compare(self, request):
        """Several trainings on one chart, and what differs between them. 404 if one of them is not yours."""
        asked = checked(CompareForm(request.query_params))
        try:
            ids = [uuid.UUID(key) for key in request.query_params.get("jobs", "").split(",") if key]
        except ValueError as problem:
            raise Unacceptable(f"jobs: {problem}", field="jobs") from problem
        if not ids:
            raise Unacceptable("jobs names no training.", field="jobs")
        jobs = comparing.compared_jobs(request.user, ids)
        if jobs is None:
            raise Http404
        rows = [
            {"field": row.field, "values": row.values, "is_same": row.is_same}
            for row in comparing.table(jobs)
        ]
        listed = [{"id": job.pk, "name": job.name} for job in jobs]
        return Response({"jobs": listed, "rows": rows, "chart": comparing.lines(jobs, **asked)})
