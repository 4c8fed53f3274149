"""`/api/v1/imports/`: what becomes of examples on their way in."""

import django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Conflict
from datasets_app import selectors, services
from datasets_app.api.mapping import HELP, MappingField
from datasets_app.models import DatasetImport, ImportStatus


class ImportSerializer(serializers.ModelSerializer):
    version = serializers.UUIDField(
        source="version_id", read_only=True, allow_null=True, help_text="What it became, once it is done."
    )
    dataset = serializers.SerializerMethodField(help_text="The set that it belongs to, once it is known.")

    class Meta:
        model = DatasetImport
        fields = [
            "id", "source", "status", "name", "file_name", "length", "offset", "progress", "message", "mapping",
            "dataset", "version", "created_at", "updated_at", "expires_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_dataset(self, imported: DatasetImport) -> str | None:
        key = imported.version.dataset_id if imported.version else imported.dataset_id
        return str(key) if key else None


class AgainSerializer(serializers.Serializer):
    mapping = MappingField(required=False, help_text=HELP)


class ImportFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=ImportStatus.choices)

    class Meta:
        model = DatasetImport
        fields: list[str] = []


class ImportViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Examples on their way in: an upload, a reference, a version made from another."""

    serializer_class = ImportSerializer
    queryset = DatasetImport.objects.none()
    filterset_class = ImportFilter
    ordering_fields = ["created_at"]

    def get_queryset(self):
        return selectors.imports_for_list(self.request.user)

    def get_object(self) -> DatasetImport:
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    def describe(self, imported: DatasetImport, status_code: int = status.HTTP_200_OK) -> Response:
        return Response(ImportSerializer(imported).data, status=status_code)

    @extend_schema(responses=ImportSerializer)
    def retrieve(self, request, pk=None):
        """One import: `status` is receiving, queued, checking, done, refused, crashed or cancelled."""
        return self.describe(self.get_object())

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Forgets it, with its bytes and its report; what it became stays. One that is under way is cancelled."""
        services.forget_import(imported=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request, pk=None):
        """Stops it; its bytes are thrown away. 409 if it has ended."""
        imported = self.get_object()
        if not services.cancel_import(imported=imported):
            raise Conflict(f"It has ended: {imported.status}.", code="ended")
        return self.describe(imported)

    @extend_schema(request=AgainSerializer, responses={201: ImportSerializer})
    @action(detail=True, methods=["post"])
    def again(self, request, pk=None):
        """The same bytes once more, after a crash or with `mapping`; the new import is the answer."""
        imported = self.get_object()
        form = AgainSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if imported.status not in (ImportStatus.REFUSED, ImportStatus.CRASHED):
            raise Conflict(
                f"It is {imported.status}; only one that ended badly can go again.", code="not_ended"
            )
        try:
            again = services.import_again(imported=imported, mapping=form.validated_data.get("mapping"))
        except services.CannotGoAgain as problem:
            raise Conflict(str(problem), code="gone") from problem
        return self.describe(again, status.HTTP_201_CREATED)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, filterset_class=None, filter_backends=[], pagination_class=None)
    def report(self, request, pk=None):
        """The whole report of the check; `{}` while there is none."""
        return Response(selectors.report_of(self.get_object()))
