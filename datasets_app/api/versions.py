"""`/api/v1/datasets/<id>/versions/<number>/…`, `…/lineage/` and `…/erasure/`."""

from dataclasses import asdict

from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from apex.common.access import owned_or_404
from apex.common.api_errors import Conflict, Unacceptable
from datasets_app import selectors, services
from datasets_app.api.imports import ImportSerializer
from datasets_app.api.version_serializers import (
    ComparisonSerializer,
    DeriveSerializer,
    ErasureSerializer,
    MemberSerializer,
    PreviewSerializer,
    RecipeSerializer,
    VersionDetailSerializer,
)
from datasets_app.deriving.material import BadRecipe
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.selectors import comparing

PAGE_MOST = 100


def version_asked(request, dataset_id, number: int) -> DatasetVersion:
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    versions = DatasetVersion.objects.filter(dataset=dataset).select_related("dataset", "parent", "owner")
    return owned_or_404(versions, request.user, number=number)


def read(serializer_class, request) -> dict:
    form = serializer_class(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


class VersionView(APIView):
    @extend_schema(responses=VersionDetailSerializer)
    def get(self, request, dataset_id, number):
        """One version: its counts, how it was made, what was found."""
        return Response(VersionDetailSerializer(version_asked(request, dataset_id, number)).data)

    @extend_schema(responses={204: None})
    def delete(self, request, dataset_id, number):
        """Erases one version: rows, files, reports. What learned from it stays, with `data_erased_at`.

        409 while a training that waits or runs needs it.
        """
        try:
            services.delete_version(version=version_asked(request, dataset_id, number))
        except services.DatasetInUse as problem:
            raise Conflict(str(problem), code="in_use") from problem
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeriveView(APIView):
    @extend_schema(
        request=DeriveSerializer,
        responses={
            201: VersionDetailSerializer,
            202: OpenApiResponse(ImportSerializer, description="A large one: a worker makes it."),
        },
    )
    def post(self, request, dataset_id, number):
        """Makes the next version of this one. The recipe says how; this one stays as it is."""
        version = version_asked(request, dataset_id, number)
        recipe = read(DeriveSerializer, request)
        branch = not recipe.pop("newest_only")
        try:
            made = services.start_derivation(version=version, recipe=recipe, branch=branch)
        except services.NotNewest as problem:
            details = {"newest": problem.newest}
            raise Conflict(str(problem), code="not_newest", details=details) from problem
        except (BadRecipe, services.CannotDerive) as problem:
            raise refused(problem) from problem
        if isinstance(made, DatasetVersion):
            return Response(VersionDetailSerializer(made).data, status=status.HTTP_201_CREATED)
        return Response(ImportSerializer(made).data, status=status.HTTP_202_ACCEPTED)


class DerivePreviewView(APIView):
    @extend_schema(request=RecipeSerializer, responses=PreviewSerializer)
    def post(self, request, dataset_id, number):
        """What a recipe would make, without making it."""
        version = version_asked(request, dataset_id, number)
        try:
            preview = services.preview_derivation(version=version, recipe=read(RecipeSerializer, request))
        except (BadRecipe, services.CannotDerive) as problem:
            raise refused(problem) from problem
        return Response(PreviewSerializer(asdict(preview)).data)


def refused(problem: Exception) -> Unacceptable:
    return Unacceptable(str(problem), code="cannot_derive", field=getattr(problem, "field", None))


class CompareView(APIView):
    @extend_schema(
        parameters=[
            OpenApiParameter("number", OpenApiTypes.INT, required=True, description="The second version."),
            OpenApiParameter("other", OpenApiTypes.UUID, description="Its dataset; else the same."),
            OpenApiParameter(
                "kind", OpenApiTypes.STR, enum=comparing.KINDS, description="Which rows to list."
            ),
            OpenApiParameter("start", OpenApiTypes.INT, description="From which on, from 0."),
            OpenApiParameter(
                "page_size", OpenApiTypes.INT, description=f"How many: 20, at most {PAGE_MOST}."
            ),
        ],
        responses=ComparisonSerializer,
    )
    def get(self, request, dataset_id, number):
        """How another version differs from this one: counts, sizes, and the rows of one kind of difference."""
        first = version_asked(request, dataset_id, number)
        asked = request.query_params
        try:
            second = version_asked(
                request, asked.get("other") or dataset_id, whole_number(asked, "number", None)
            )
            kind = asked.get("kind") or "changed"
            if kind not in comparing.KINDS:
                message = f"There is no kind {kind[:40]!r}; there are: {', '.join(comparing.KINDS)}."
                raise Unacceptable(message, field="kind")
            found = comparing.compared(first, second)
        except comparing.NotComparable as problem:
            raise Unacceptable(str(problem), code="not_comparable") from problem
        start, size = whole_number(asked, "start", 0), min(whole_number(asked, "page_size", 20), PAGE_MOST)
        return Response(
            {
                "first": first.pk,
                "second": second.pk,
                "counts": found.counts,
                "figures": found.figures,
                "kind": kind,
                "count": found.counts[kind],
                "results": found.rows(kind, start, start + size),
            }
        )


def whole_number(asked, name: str, default: int | None) -> int:
    text = asked.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Unacceptable(f"“{name}” is {text[:20]!r}, expected a whole number.", field=name)
    return int(text)


class LineageView(APIView):
    @extend_schema(responses=MemberSerializer(many=True))
    def get(self, request, dataset_id):
        """The family of its versions, marks of erased ones included: what was made of what, how and when.

        Each row of a version leads back by its `origin` to the row that was brought.
        """
        dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
        return Response([described(member) for member in selectors.family(dataset)])


def described(member: selectors.Member) -> dict:
    version = member.version
    asked = f"?dataset_version={version.pk}"
    return {
        "id": version.pk,
        "number": version.number,
        "parent": version.parent_id,
        "merged_from": [each.pk for each in member.merged],
        "made_by": version.made_by,
        "made_words": str(member.words),
        "made_from": version.made_from,
        "verdict": version.verdict,
        "row_count": version.row_count,
        "rows_sha256": version.rows_sha256,
        "created_at": version.created_at,
        "erased_at": version.erased_at,
        "jobs_url": reverse("api-job-list") + asked,
        "adapters_url": reverse("api-adapter-list") + asked,
    }


class ErasureView(APIView):
    @extend_schema(
        parameters=[OpenApiParameter("version", OpenApiTypes.INT, description="Of this version alone.")],
        responses=ErasureSerializer,
    )
    def get(self, request, dataset_id):
        """What erasing it would touch: files, reviews, links, and what learned from it."""
        dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
        version = None
        if request.query_params.get("version"):
            version = (
                selectors.versions_of(dataset)
                .filter(number=whole_number(request.query_params, "version", None))
                .first()
            )
            if version is None:
                raise Http404
        return Response(ErasureSerializer(selectors.erasure_of(dataset, version)).data)
