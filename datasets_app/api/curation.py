"""`/api/v1/datasets/<id>/reviews/` and its neighbours: what people think of rows."""

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api import JSONParser, Pagination
from apex.common.api_errors import Unacceptable
from datasets_app import downloads, selectors, services
from datasets_app.api.serializers import VersionSerializer
from datasets_app.models import Dataset, DatasetVersion, Review, ReviewVerdict

VERSION = OpenApiParameter("version", OpenApiTypes.INT, description="Number of a version; else the newest.")
FILTERS = [
    OpenApiParameter("show", description="unseen (default), all, seen, star, reject or edited."),
    OpenApiParameter("rating", OpenApiTypes.INT, description="1 to 5."),
    OpenApiParameter("tag"),
    OpenApiParameter("code", description="A fault that was found in the row, by its code."),
    OpenApiParameter("split", description="train or held_out."),
    OpenApiParameter("text", description="What the row's text contains."),
    OpenApiParameter("order", description="file (default) or random."),
    OpenApiParameter("seed", OpenApiTypes.INT, description="The same seed gives the same shuffle."),
    OpenApiParameter("after", OpenApiTypes.INT, description="Where to go on: `next` of the answer before."),
]


class OpinionSerializer(serializers.Serializer):
    """All that a person thinks of a row; it takes the place of what they thought before."""

    verdict = serializers.JSONField(required=False, help_text="star, reject or an empty text.")
    rating = serializers.JSONField(
        required=False, allow_null=True, help_text="A whole number from 1 to 5, or null."
    )
    tags = serializers.JSONField(required=False, help_text="A list of at most 20 texts.")
    note = serializers.JSONField(required=False, help_text="Why; at most 2,000 characters.")
    edited = serializers.JSONField(
        required=False, allow_null=True, help_text="The row's content as it should be, or null: as it is."
    )
    is_seen = serializers.BooleanField(
        required=False, default=True, help_text="false takes an empty review back."
    )

    def said(self) -> dict:
        """What was sent of it; the service looks at each value and names the one that cannot be."""
        return {
            name: value for name, value in self.validated_data.items() if name in OpinionSerializer().fields
        }


class RowOpinionSerializer(OpinionSerializer):
    row = serializers.IntegerField(min_value=0, help_text="Number of the row; the first is 0.")
    row_key = serializers.CharField(
        required=False, max_length=64, help_text="Makes sure that it is the row you saw."
    )
    version = serializers.IntegerField(
        required=False, min_value=1, help_text="Number of a version; else the newest."
    )


class OfferedOpinionSerializer(OpinionSerializer):
    row_key = serializers.CharField(max_length=64, help_text="Of a row that was offered.")


class OfferSerializer(serializers.Serializer):
    source = serializers.ChoiceField(choices=["chat", "batch"])
    rows = serializers.ListField(
        child=serializers.DictField(), max_length=1000, help_text="Rows, as /rows/ gives them."
    )


class ReviewSerializer(serializers.ModelSerializer):
    who = serializers.SerializerMethodField(help_text="Who judged.")
    dataset = serializers.UUIDField(source="dataset_id", read_only=True, allow_null=True)
    version = serializers.IntegerField(source="version.number", read_only=True, allow_null=True, default=None)
    row = serializers.IntegerField(source="row_index", read_only=True, allow_null=True)
    content = serializers.JSONField(source="row", read_only=True, help_text="The row as it was seen.")

    class Meta:
        model = Review
        fields = [
            "id", "dataset", "version", "source", "row", "row_key", "content", "edited", "who", "verdict", "rating",
            "tags", "note", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_who(self, review: Review) -> str:
        return selectors.name_of(review)


class Curation(viewsets.ViewSet):
    """What the views of a dataset's reviews share."""

    parser_classes = [JSONParser]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        # Before the body is looked at: a stranger learns nothing of what the call would take.
        if "dataset_id" in self.kwargs:
            self.dataset = owned_or_404(Dataset, request.user, pk=self.kwargs["dataset_id"])

    def version(self, number: int | str | None) -> DatasetVersion:
        """The version of this number, else the newest; 404 where there is none."""
        versions = selectors.versions_of(self.dataset).filter(erased_at=None)
        if number not in (None, ""):
            is_number = str(number).isascii() and str(number).isdigit() and len(str(number)) < 10
            versions = versions.filter(number=int(number)) if is_number else versions.none()
        version = versions.first()
        if version is None:
            raise Http404
        return version

    def asked(self, serializer_class):
        form = serializer_class(data=self.request.data)
        form.is_valid(raise_exception=True)
        return form

    def refuse(self, problem: services.BadReview):
        raise Unacceptable(str(problem), code="bad_review", field=problem.field) from problem


class ReviewViewSet(Curation):
    queryset = Review.objects.none()
    serializer_class = ReviewSerializer

    @extend_schema(
        responses=ReviewSerializer(many=True),
        parameters=[
            OpenApiParameter("verdict", description="star or reject."),
            OpenApiParameter("rating", OpenApiTypes.INT),
            OpenApiParameter("tag"),
            OpenApiParameter("rater"),
            OpenApiParameter("text"),
            OpenApiParameter("source", description="dataset, chat, batch or label_studio."),
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("page_size", OpenApiTypes.INT),
        ],
    )
    def list(self, request, dataset_id=None):
        """What anybody thinks of the rows of this dataset, the newest first."""
        query = request.query_params.dict() | {"dataset": str(self.dataset.pk)}
        verdicts = (
            (query["verdict"],) if query.get("verdict") in ("star", "reject") else tuple(ReviewVerdict.values)
        )
        pages = Pagination()
        page = pages.paginate_queryset(
            selectors.gold_stars(request.user, star_filter(query), verdicts), request, self
        )
        return pages.get_paginated_response(ReviewSerializer(page, many=True).data)

    @extend_schema(request=RowOpinionSerializer, responses=ReviewSerializer)
    def put(self, request, dataset_id=None):
        """Keeps what the caller thinks of one row. 204 when an empty review was taken back."""
        form = self.asked(RowOpinionSerializer)
        asked = form.validated_data
        version = self.version(asked.get("version"))
        try:
            review = services.review_row(
                version=version,
                reviewer=request.user,
                number=asked["row"],
                key=asked.get("row_key", ""),
                **form.said(),
            )
        except services.BadReview as problem:
            self.refuse(problem)
        return (
            Response(ReviewSerializer(review).data) if review else Response(status=status.HTTP_204_NO_CONTENT)
        )

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def table(self, request, dataset_id=None):
        """All reviews as CSV."""
        query = selectors.StarFilter(dataset=str(self.dataset.pk))
        return downloads.reviews_response(
            selectors.gold_stars(request.user, query, tuple(ReviewVerdict.values))
        )


def star_filter(query: dict) -> selectors.StarFilter:
    try:
        return selectors.StarFilter.from_query(query)
    except ValueError as problem:
        raise Unacceptable(str(problem), code="bad_filter") from problem


class ReviewQueueViewSet(Curation):
    @extend_schema(responses=OpenApiTypes.OBJECT, parameters=[VERSION, *FILTERS])
    def list(self, request, dataset_id=None):
        """The next rows to review: `{"rows", "next", "looked_at", "progress"}`.

        A row is `{"number", "key", "row", "split", "line", "review"}`. `next` is null at the end; with fewer rows
        than usual it says where to ask on.
        """
        query = request.query_params.dict()
        version = self.version(query.get("version"))
        try:
            services.index_of(version)
            wanted = selectors.QueueFilter.from_query(query)
            return Response(
                selectors.queue(version, request.user, wanted, selectors.number_in(query.get("after", "")))
            )
        except services.BadReview as problem:
            self.refuse(problem)

    @extend_schema(
        request={"application/json": {"type": "object", "properties": {"only_starred": {"type": "boolean"}}}},
        responses={201: VersionSerializer},
    )
    def make_version(self, request, dataset_id=None):
        """The next version: edits applied, rejected rows left out; with `only_starred`, gold stars only."""
        version = self.version(request.data.get("version") if isinstance(request.data, dict) else None)
        only_starred = request.data.get("only_starred", False)
        if not isinstance(only_starred, bool):
            message = f"“only_starred” is {str(only_starred)[:40]!r}; expected true or false."
            raise Unacceptable(message, field="only_starred")
        try:
            made = services.version_from_review(
                version=version, reviewer=request.user, only_starred=only_starred
            )
        except services.DatasetRefused as problem:
            raise Unacceptable(str(problem), code="cannot_derive") from problem
        return Response(VersionSerializer(made).data, status=status.HTTP_201_CREATED)


class OfferedRowsViewSet(Curation):
    """Rows that come from chats and batches, in the same queue."""

    @extend_schema(
        responses=OpenApiTypes.OBJECT, parameters=[each for each in FILTERS if each.name != "split"]
    )
    def list(self, request):
        """The next offered rows to review, as review-queue gives them."""
        query = request.query_params.dict()
        wanted, after = selectors.QueueFilter.from_query(query), selectors.number_in(query.get("after", ""))
        return Response(selectors.inbox(request.user, wanted, after))

    @extend_schema(request=OfferSerializer, responses={201: OpenApiTypes.OBJECT})
    def create(self, request):
        """Puts rows into the caller's queue; answers how many were new to it."""
        asked = self.asked(OfferSerializer).validated_data
        try:
            count = services.offer_rows(owner=request.user, **asked)
        except services.BadReview as problem:
            self.refuse(problem)
        return Response({"offered": count}, status=status.HTTP_201_CREATED)

    @extend_schema(request=OfferedOpinionSerializer, responses=ReviewSerializer)
    def put(self, request):
        """Keeps what the caller thinks of an offered row."""
        form = self.asked(OfferedOpinionSerializer)
        key = form.validated_data["row_key"]
        offered = Review.objects.for_user(request.user).filter(dataset=None, share=None, row_key=key).first()
        if offered is None:
            raise Http404
        try:
            review = services.record_review(
                owner=request.user,
                reviewer=request.user,
                row=offered.row,
                source=offered.source,
                **form.said(),
            )
        except services.BadReview as problem:
            self.refuse(problem)
        return (
            Response(ReviewSerializer(review).data) if review else Response(status=status.HTTP_204_NO_CONTENT)
        )
