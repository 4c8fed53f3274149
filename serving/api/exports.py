"""`/api/v1/exports/`."""

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Conflict, Unacceptable
from serving.exports import services
from serving.exports.details import exports_for
from serving.exports.models import Export, ExportKind, ExportStatus
from serving.exports.views import export_response
from training.api.asked import find_adapter


class ExportedFileSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="From the top of the zip.")
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField()


class ExportSerializer(serializers.ModelSerializer):
    adapter = serializers.UUIDField(source="adapter_id", read_only=True)
    model_id = serializers.CharField(source="adapter.model_id", read_only=True)
    files = ExportedFileSerializer(many=True, read_only=True)

    class Meta:
        model = Export
        fields = [
            "id", "adapter", "model_id", "kind", "options", "status", "step", "progress", "reason", "message",
            "file_name", "size_bytes", "sha256", "files", "link", "created_at", "ended_at", "expires_at",
        ]  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "progress": {"help_text": "Percent."},
            "sha256": {"help_text": "Of the file to download; empty when there is none, or none any more."},
            "link": {"help_text": "Where it is, if it went to the hub."},
        }


class ExportOptionsSerializer(serializers.Serializer):
    type = serializers.CharField(
        required=False,
        help_text="Of a GGUF: f16 (unless said), bf16, f32, q8_0; of a whole model also tq1_0, tq2_0.",
        max_length=10,
    )
    repo = serializers.CharField(required=False, help_text="Of the hub: owner/name.", max_length=200)
    what = serializers.CharField(
        required=False, help_text="To the hub: adapter (unless said) or merged.", max_length=10
    )
    private = serializers.BooleanField(required=False, help_text="At the hub; true unless said.")


class ExportCreateSerializer(serializers.Serializer):
    adapter = serializers.CharField(help_text="UUID or model id of an adapter of yours.")
    kind = serializers.ChoiceField(choices=ExportKind.choices)
    options = ExportOptionsSerializer(required=False)
    token = serializers.CharField(
        required=False,
        write_only=True,
        max_length=services.LONGEST_TOKEN,
        help_text="For the hub, with write access. Kept sealed until the export ends, never shown.",
    )


class ExportFilter(filters.FilterSet):
    # By id alone, so that another's adapter and none at all look the same.
    adapter = filters.UUIDFilter(field_name="adapter_id")
    status = filters.ChoiceFilter(choices=ExportStatus.choices)
    kind = filters.ChoiceFilter(choices=ExportKind.choices)

    class Meta:
        model = Export
        fields = ["status", "kind"]


class ExportViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    """What the caller takes along, newest first."""

    serializer_class = ExportSerializer
    queryset = Export.objects.none()
    filterset_class = ExportFilter
    ordering_fields = ["created_at", "ended_at", "status"]

    def get_queryset(self):
        return exports_for(self.request.user)

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(request=ExportCreateSerializer, responses={201: ExportSerializer})
    def create(self, request):
        """Begins an export, and answers at once. One that is the same and not done yet is answered with."""
        form = ExportCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        try:
            adapter = find_adapter(request.user, asked["adapter"])
        except Unacceptable as problem:
            raise Unacceptable(str(problem.detail), field="adapter") from problem
        try:
            made = services.start_export(
                adapter=adapter,
                kind=asked["kind"],
                options=dict(asked.get("options") or {}),
                token=asked.get("token", ""),
            )
        except services.ExportRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return Response(ExportSerializer(made).data, status=status.HTTP_201_CREATED)

    def perform_destroy(self, export):
        services.delete_export(export=export)

    @extend_schema(request=None, responses={200: ExportSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request, pk=None):
        """Stops it; nothing of it is kept. 409 if it was over already."""
        export = self.get_object()
        if not services.cancel_export(export=export):
            raise Conflict(f"{export} is over already: {export.status}.")
        return Response(ExportSerializer(export).data)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True)
    def download(self, request, pk=None):
        """The file; `Range` asks for a part of it. 404 when there is none, or none any more."""
        return export_response(request, self.get_object())
