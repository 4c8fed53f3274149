"""`/api/v1/datasets/`."""

import django_filters
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api import JSONParser
from apex.common.api_errors import Conflict, Unacceptable
from datasets_app import selectors, services
from datasets_app.api import references
from datasets_app.api.imports import ImportSerializer
from datasets_app.api.reports import ReportActions
from datasets_app.api.serializers import (
    BroughtSerializer,
    DatasetCreateSerializer,
    DatasetDetailSerializer,
    DatasetRenameSerializer,
    DatasetSerializer,
    RowSerializer,
    VersionSerializer,
    VersionWithFaultsSerializer,
)
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.sources import SourceError

# The fields around a file take some bytes of their own.
BODY_SLACK = 1024 * 1024


class AlwaysJson(DefaultContentNegotiation):
    """Answers in JSON, whatever is asked for, so that `?format=` is free to filter by a dataset's format."""

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


class PayloadTooLarge(Unacceptable):
    status_code = 413


class DatasetFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains", help_text="Part of the name.")
    format = django_filters.CharFilter(field_name="format", help_text="Format of the newest version.")

    class Meta:
        model = Dataset
        fields: list[str] = []


class Rows:
    """The rows of a version as a sequence that a paginator can slice without reading the rest."""

    def __init__(self, version: DatasetVersion) -> None:
        self.version = version

    def __len__(self) -> int:
        return selectors.rows_shown(self.version)

    def __getitem__(self, wanted: slice) -> list[dict]:
        return selectors.rows_of(self.version, wanted.start, wanted.stop - wanted.start)


class DatasetViewSet(ReportActions, mixins.ListModelMixin, viewsets.GenericViewSet):
    """Examples of the caller. A dataset is a name; what it holds are versions, each written once."""

    serializer_class = DatasetSerializer
    queryset = Dataset.objects.none()
    parser_classes = [MultiPartParser, FormParser, JSONParser]
    content_negotiation_class = AlwaysJson
    filterset_class = DatasetFilter
    ordering_fields = ["created_at", "name", "row_count"]

    def get_queryset(self):
        return selectors.datasets_for_list(self.request.user)

    def get_object(self) -> Dataset:
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        # Before the body is parsed, which would write it to disk once more.
        limit = services.upload_limit(request.user)
        if int(request.META.get("CONTENT_LENGTH") or 0) > limit + BODY_SLACK:
            raise PayloadTooLarge(str(services.too_large(limit)), code="too_large", field="file")

    def paginate_queryset(self, queryset):
        page = super().paginate_queryset(queryset)
        return selectors.attach_latest(page) if self.action == "list" else page

    def describe(self, dataset: Dataset, status_code: int = status.HTTP_200_OK) -> Response:
        dataset.version = dataset.latest
        return Response(DatasetDetailSerializer(dataset).data, status=status_code)

    @extend_schema(responses=DatasetDetailSerializer)
    def retrieve(self, request, pk=None):
        """One dataset, with what was found in its newest version."""
        return self.describe(self.get_object())

    @extend_schema(
        request=DatasetCreateSerializer, responses={201: DatasetDetailSerializer, 202: ImportSerializer}
    )
    def create(self, request):
        """Brings examples in: `file` (multipart) or `text`. If none can be used: 400, the faults in `details`.

        Or a `uri`, which is read where it is and never kept: 202 with the import that checks it.
        """
        asked = self.asked(DatasetCreateSerializer)
        if "uri" in asked:
            return references.refer(request, asked)
        file = asked.get("file")
        name = asked.get("name") or services.free_name(owner=request.user, wanted=file.name if file else "")
        version = take(
            services.create_dataset,
            owner=request.user,
            name=name,
            description=asked.get("description", ""),
            file=file,
            text=asked.get("text"),
            file_name=file.name if file else "",
            wishes=services.Wishes(format=asked.get("format"), mapping=asked.get("mapping")),
        )
        return self.describe(version.dataset, status.HTTP_201_CREATED)

    @extend_schema(request=DatasetRenameSerializer, responses=DatasetDetailSerializer)
    def partial_update(self, request, pk=None):
        """Another name or description."""
        dataset = self.get_object()
        asked = self.asked(DatasetRenameSerializer)
        name = asked.get("name", dataset.name)
        take(services.rename_dataset, dataset=dataset, name=name, description=asked.get("description"))
        return self.describe(dataset)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Deletes it with its versions and files. 409 while a training that learned from it is there."""
        try:
            services.delete_dataset(dataset=self.get_object())
        except services.DatasetInUse as problem:
            raise Conflict(str(problem), code="in_use") from problem
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=VersionSerializer(many=True))
    @action(
        detail=True, queryset=DatasetVersion.objects.none(), filterset_class=None, ordering_fields=["number"]
    )
    def versions(self, request, pk=None):
        """Its versions, newest first."""
        page = self.paginate_queryset(selectors.versions_of(self.get_object()))
        return self.get_paginated_response(VersionSerializer(page, many=True).data)

    @extend_schema(
        request=BroughtSerializer, responses={201: VersionWithFaultsSerializer, 202: ImportSerializer}
    )
    @versions.mapping.post
    def add_version(self, request, pk=None):
        """The next version, from `file` or `text`; the earlier ones stay as they are."""
        dataset = self.get_object()
        asked = self.asked(BroughtSerializer)
        if "uri" in asked:
            return references.refer(request, asked, dataset)
        file = asked.get("file")
        version = take(
            services.add_version,
            dataset=dataset,
            file=file,
            text=asked.get("text"),
            file_name=file.name if file else "",
            wishes=services.Wishes(format=asked.get("format"), mapping=asked.get("mapping")),
        )
        return Response(VersionWithFaultsSerializer(version).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        responses=RowSerializer(many=True),
        parameters=[
            OpenApiParameter("version", OpenApiTypes.INT, description="Number of a version; else the newest.")
        ],
    )
    @action(detail=True, filterset_class=None, filter_backends=[])
    def rows(self, request, pk=None):
        """Its examples as chat rows, in the order of the file."""
        try:
            page = self.paginate_queryset(Rows(self.version_asked(self.get_object())))
        except SourceError as problem:
            raise references.Away(str(problem), code="store_unavailable") from problem
        return self.get_paginated_response(RowSerializer(page, many=True).data)

    def version_asked(self, dataset: Dataset) -> DatasetVersion:
        number = self.request.query_params.get("version")
        versions = selectors.versions_of(dataset)
        if number:
            versions = (
                versions.filter(number=int(number))
                if number.isascii() and number.isdigit() and len(number) < 10
                else versions.none()
            )
        version = versions.first()
        if version is None:
            raise Http404
        return version

    def too_large(self, problem: Exception) -> PayloadTooLarge:
        return PayloadTooLarge(str(problem), code="too_large", field="file")

    def asked(self, serializer_class) -> dict:
        form = serializer_class(data=self.request.data)
        form.is_valid(raise_exception=True)
        return form.validated_data


def take(service, **wanted):
    """Calls a service that brings examples in; its refusals become answers of the API."""
    try:
        return service(**wanted)
    except services.NameTaken as problem:
        raise Unacceptable(str(problem), code="name_taken", field="name") from problem
    except services.TooLarge as problem:
        raise PayloadTooLarge(str(problem), code="too_large", field="file") from problem
    except services.DatasetRefused as problem:
        raise Unacceptable(
            str(problem),
            code="unusable_examples",
            field="file",
            details={"faults": problem.faults}
            | ({"report": problem.report.as_dict()} if problem.report else {}),
        ) from problem
