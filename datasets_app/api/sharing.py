"""`/api/v1/datasets/<id>/share-links/`, `…/agreement/` and `…/label-studio/`."""

from dataclasses import asdict

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import parsers, serializers, status
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api import JSONParser
from apex.common.api_errors import Unacceptable
from datasets_app import downloads, selectors, services
from datasets_app.api.curation import VERSION, Curation, ReviewSerializer
from datasets_app.models import ShareLink


class ShareLinkSerializer(serializers.ModelSerializer):
    version = serializers.IntegerField(source="version.number", read_only=True)
    guests = serializers.IntegerField(read_only=True, default=0, help_text="How many people rated by it.")
    ratings = serializers.IntegerField(read_only=True, default=0)

    class Meta:
        model = ShareLink
        fields = ["id", "label", "version", "expires_at", "revoked_at", "created_at", "guests", "ratings"]
        read_only_fields = fields


class NewShareLinkSerializer(serializers.Serializer):
    label = serializers.CharField(
        max_length=80, required=False, allow_blank=True, default="", help_text="Guests see it."
    )
    days = serializers.IntegerField(required=False, default=14, help_text="Until it ends; 1 to 365.")
    version = serializers.IntegerField(
        required=False, min_value=1, help_text="Number of a version; else the newest."
    )


class MadeShareLinkSerializer(ShareLinkSerializer):
    url = serializers.CharField(read_only=True, help_text="The address, shown this once only.")

    class Meta(ShareLinkSerializer.Meta):
        fields = [*ShareLinkSerializer.Meta.fields, "url"]
        read_only_fields = fields


class ShareLinkViewSet(Curation):
    serializer_class = ShareLinkSerializer

    @extend_schema(responses=ShareLinkSerializer(many=True))
    def list(self, request, dataset_id=None):
        """The links by which others rate, newest first."""
        return Response(ShareLinkSerializer(selectors.share_links_of(self.dataset), many=True).data)

    @extend_schema(request=NewShareLinkSerializer, responses={201: MadeShareLinkSerializer})
    def create(self, request, dataset_id=None):
        """A link; its address is in the answer and cannot be shown again."""
        asked = self.asked(NewShareLinkSerializer).validated_data
        version = self.version(asked.get("version"))
        try:
            link, token = services.make_share_link(version=version, label=asked["label"], days=asked["days"])
        except services.BadLink as problem:
            raise Unacceptable(str(problem), code="bad_link", field=problem.field) from problem
        link.url = request.build_absolute_uri(reverse("datasets:shared", args=[token]))
        return Response(MadeShareLinkSerializer(link).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request, dataset_id=None, link_id=None):
        """Closes a link at once; what was rated by it stays."""
        links = ShareLink.objects.filter(version__dataset=self.dataset)
        services.revoke_share_link(link=owned_or_404(links, request.user, pk=link_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class AgreementViewSet(Curation):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def list(self, request, dataset_id=None):
        """Who rated how many rows, and how far they agree.

        `alpha`: Krippendorff's, ordinal; `kappa` (quadratic weights) and `percent` are for exactly two people. Each is
        null where it is not defined. `disputed`: the rows on which ratings lie furthest apart.
        """
        found = selectors.agreement(self.dataset)
        return Response(
            asdict(found["figures"])
            | {
                "words": found["words"],
                "raters": [{"name": rater.name, "ratings": rater.count} for rater in found["raters"]],
                "disputed": [
                    {
                        "row_key": each["review"].row_key,
                        "row": each["review"].row_index,
                        "spread": each["spread"],
                        "ratings": [{"who": name, "rating": rating} for name, rating in each["ratings"]],
                    }
                    for each in found["disputed"]
                ],
            }
        )


class LabelStudioViewSet(Curation):
    parser_classes = [parsers.MultiPartParser, JSONParser]
    serializer_class = ReviewSerializer

    @extend_schema(
        responses=OpenApiTypes.OBJECT,
        parameters=[
            VERSION,
            OpenApiParameter("part", description="tasks (default) or config: the labeling config as XML."),
            OpenApiParameter("as", description="annotations (default) or predictions."),
        ],
    )
    def list(self, request, dataset_id=None):
        """The version as Label Studio tasks, with what people think of its rows."""
        version = self.version(request.query_params.get("version"))
        if request.query_params.get("part") == "config":
            return downloads.config_response()
        try:
            return downloads.tasks_response(version, request.query_params.get("as") == "predictions")
        except services.BadReview as problem:
            self.refuse(problem)

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT, parameters=[VERSION])
    def take(self, request, dataset_id=None):
        """Annotations of Label Studio (JSON or JSON-MIN), as the body or as `file`, become reviews."""
        version = self.version(request.query_params.get("version"))
        file = request.FILES.get("file")
        tasks = file.read(services.LABEL_STUDIO_LIMIT + 1) if file else request.data
        try:
            taken = services.import_label_studio(version=version, tasks=tasks)
        except services.BadTasks as problem:
            raise Unacceptable(str(problem), code="bad_tasks", field="file") from problem
        except services.BadReview as problem:
            self.refuse(problem)
        return Response(taken.as_dict())
