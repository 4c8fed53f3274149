"""`/api/v1/connections/`: credentials go in, and never come out."""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from datasets_app import services
from datasets_app.models import Connection, ConnectionKind
from datasets_app.sources import SourceError


class ConnectionSerializer(serializers.ModelSerializer):
    in_use_by = serializers.SerializerMethodField(help_text="Names of the datasets that are read through it.")

    class Meta:
        model = Connection
        fields = [
            "id", "name", "kind", "endpoint_url", "region", "hint", "in_use_by", "created_at", "updated_at", "used_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_in_use_by(self, connection: Connection) -> list[str]:
        return services.sets_through(connection)


class ConnectionChangeSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80, required=False)
    endpoint_url = serializers.CharField(
        max_length=300,
        required=False,
        allow_blank=True,
        help_text="Of a store of your own; needed for `https`.",
    )
    region = serializers.CharField(max_length=40, required=False, allow_blank=True)
    credentials = serializers.DictField(
        child=serializers.CharField(max_length=4000, allow_blank=True),
        required=False,
        write_only=True,
        help_text="`https`, `hf`: {token}. `s3`: {access_key_id, secret_access_key, session_token?}. "
        "`gs`: {access_key_id, secret_access_key} (HMAC keys). Replaced as a whole; never shown again.",
    )


class ConnectionCreateSerializer(ConnectionChangeSerializer):
    name = serializers.CharField(max_length=80)
    kind = serializers.ChoiceField(choices=ConnectionKind.choices)
    credentials = serializers.DictField(
        child=serializers.CharField(max_length=4000, allow_blank=True), write_only=True
    )


class TrySerializer(serializers.Serializer):
    uri = serializers.CharField(max_length=2000, required=False, help_text="A file to try it with.")


class TriedSerializer(serializers.Serializer):
    works = serializers.BooleanField()
    message = serializers.CharField(help_text="What happened, in a sentence.")


class ConnectionViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Stored credentials by which references are read."""

    serializer_class = ConnectionSerializer
    queryset = Connection.objects.none()
    ordering_fields = ["created_at", "name"]

    def get_queryset(self):
        return Connection.objects.for_user(self.request.user)

    def get_object(self) -> Connection:
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(responses=ConnectionSerializer)
    def retrieve(self, request, pk=None):
        """One connection; `hint` is the end of its key or token."""
        return Response(ConnectionSerializer(self.get_object()).data)

    @extend_schema(request=ConnectionCreateSerializer, responses={201: ConnectionSerializer})
    def create(self, request):
        """Keeps credentials, sealed."""
        asked = self.asked(ConnectionCreateSerializer)
        connection = keep(services.create_connection, owner=request.user, **asked)
        return Response(ConnectionSerializer(connection).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ConnectionChangeSerializer, responses=ConnectionSerializer)
    def partial_update(self, request, pk=None):
        """Another name, place or other credentials; what is left out stays."""
        connection = self.get_object()
        asked = self.asked(ConnectionChangeSerializer)
        connection = keep(services.change_connection, connection=connection, **asked)
        return Response(ConnectionSerializer(connection).data)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Forgets it and its credentials; `in_use_by` named what cannot be read any more then."""
        services.delete_connection(connection=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=TrySerializer, responses=TriedSerializer)
    @action(detail=True, methods=["post"], url_path="try", url_name="try")
    def try_it(self, request, pk=None):
        """Asks the store with it, for the file at `uri` if one is given; says what happened."""
        connection = self.get_object()
        uri = self.asked(TrySerializer).get("uri", "")
        try:
            return Response(
                {"works": True, "message": services.try_connection(connection=connection, uri=uri)}
            )
        except SourceError as problem:
            return Response({"works": False, "message": str(problem)})

    def asked(self, serializer_class) -> dict:
        form = serializer_class(data=self.request.data)
        form.is_valid(raise_exception=True)
        return form.validated_data


def keep(service, **wanted) -> Connection:
    try:
        return service(**wanted)
    except services.BadConnection as problem:
        raise Unacceptable(str(problem), field=problem.field) from problem
