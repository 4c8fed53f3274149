"""`/api/v1/gold-stars/`: approved examples over all of the caller's datasets."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api import JSONParser, Pagination
from apex.common.api_errors import Unacceptable
from datasets_app import downloads, selectors, services
from datasets_app.api.curation import ReviewSerializer, star_filter
from datasets_app.api.serializers import VersionWithFaultsSerializer
from datasets_app.api.views import take
from datasets_app.models import Review, ReviewVerdict

FILTERS = [
    OpenApiParameter("dataset", description="Name or id of a dataset."),
    OpenApiParameter("rater", description="Who gave the star."),
    OpenApiParameter("rating", OpenApiTypes.INT, description="1 to 5."),
    OpenApiParameter("tag"),
    OpenApiParameter("since", OpenApiTypes.DATE),
    OpenApiParameter("until", OpenApiTypes.DATE),
    OpenApiParameter("text", description="In the row, its edit or the note."),
    OpenApiParameter("source", description="dataset, chat, batch or label_studio."),
]
SHAPE = OpenApiParameter(
    "as", description="openai (default), chatml, alpaca, prompt-completion or preference."
)
PAGES = [OpenApiParameter("page", OpenApiTypes.INT), OpenApiParameter("page_size", OpenApiTypes.INT)]


class StarsDatasetSerializer(serializers.Serializer):
    """A set to be made of gold stars; the filters are those of the list."""

    name = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")
    shape = serializers.CharField(
        max_length=40, required=False, default="openai", help_text="As `as` of the export."
    )
    filter = serializers.DictField(child=serializers.CharField(), required=False, default=dict)


class GoldStarViewSet(viewsets.GenericViewSet):
    serializer_class = ReviewSerializer
    queryset = Review.objects.none()
    parser_classes = [JSONParser]
    filter_backends: list = []

    @extend_schema(responses=ReviewSerializer(many=True), parameters=[*FILTERS, *PAGES])
    def list(self, request):
        """The caller's gold stars, the newest first."""
        pages = Pagination()
        stars = selectors.gold_stars(request.user, star_filter(request.query_params.dict()))
        page = pages.paginate_queryset(stars, request, self)
        return pages.get_paginated_response(ReviewSerializer(page, many=True).data)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Takes a star away; rating, tags, note and edit stay."""
        stars = Review.objects.filter(verdict=ReviewVerdict.STAR)
        services.remove_star(review=owned_or_404(stars, request.user, pk=pk))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses={(200, "application/jsonl"): OpenApiTypes.STR}, parameters=[SHAPE, *FILTERS])
    def export(self, request):
        """The gold stars as JSON Lines. Header `X-Apex-Skipped`: how many could not go, by reason."""
        query = request.query_params.dict()
        try:
            exported = services.export_gold_stars(
                owner=request.user, shape=query.get("as", "openai"), wanted=star_filter(query)
            )
        except services.NothingToExport as problem:
            raise nothing(problem) from problem
        except ValueError as problem:
            raise Unacceptable(str(problem), code="unknown_shape", field="as") from problem
        return downloads.exported_response(exported)

    @extend_schema(request=StarsDatasetSerializer, responses={201: VersionWithFaultsSerializer})
    def make_dataset(self, request):
        """A set of its own from the gold stars."""
        form = StarsDatasetSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        try:
            version = take(
                services.dataset_from_gold_stars,
                owner=request.user,
                name=asked["name"],
                shape=asked["shape"],
                wanted=star_filter(asked["filter"]),
            )
        except services.NothingToExport as problem:
            raise nothing(problem) from problem
        except ValueError as problem:
            raise Unacceptable(str(problem), code="unknown_shape", field="shape") from problem
        return Response(VersionWithFaultsSerializer(version).data, status=status.HTTP_201_CREATED)


def nothing(problem: services.NothingToExport) -> Unacceptable:
    return Unacceptable(str(problem), code="nothing_to_export", details={"skipped": problem.skipped})
