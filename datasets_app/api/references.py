"""References in the API: an address in place of a file; the answer is an import, which a worker checks."""

from rest_framework import serializers, status
from rest_framework.response import Response

from apex.common.api_errors import Unacceptable
from datasets_app import services
from datasets_app.api.imports import ImportSerializer
from datasets_app.formats import FORMATS
from datasets_app.models import Connection, Reference


class ReferenceSerializer(serializers.ModelSerializer):
    uri = serializers.CharField(
        source="shown_uri", read_only=True, help_text="Without its query, which may sign it."
    )

    class Meta:
        model = Reference
        fields = ["id", "uri", "connection", "etag", "size", "sha256", "checked_at"]
        read_only_fields = fields


class AddressFields(serializers.Serializer):
    """Beside `file` and `text`: data that stays where it is."""

    uri = serializers.CharField(
        max_length=2000,
        required=False,
        help_text="`https://`, `s3://`, `gs://`, `hf://datasets/…` or `file://`: read where it is, never kept. "
        "The answer is 202 with an import.",
    )
    connection = serializers.UUIDField(
        required=False, allow_null=True, help_text="Of yours, where the address needs credentials."
    )
    format = serializers.ChoiceField(
        choices=sorted(FORMATS), required=False, allow_null=True, help_text="Left out: recognised by content."
    )


class Away(Unacceptable):
    """A store that holds the rows did not give them."""

    status_code = 503


def refer(request, asked: dict, dataset=None) -> Response:
    """Queues the check of `asked["uri"]`; 202 with the import."""
    connection = None
    if asked.get("connection"):
        connection = Connection.objects.for_user(request.user).filter(pk=asked["connection"]).first()
        if connection is None:
            raise Unacceptable(
                f"You have no connection {asked['connection']}.", code="no_connection", field="connection"
            )
    try:
        imported = services.refer(
            owner=request.user,
            uri=asked["uri"],
            connection=connection,
            name=asked.get("name", ""),
            description=asked.get("description", ""),
            dataset=dataset,
            format=asked.get("format"),
        )
    except services.ReferenceRefused as problem:
        raise Unacceptable(str(problem), code="unusable_address", field=problem.field) from problem
    except services.NameTaken as problem:
        raise Unacceptable(str(problem), code="name_taken", field="name") from problem
    return Response(ImportSerializer(imported).data, status=status.HTTP_202_ACCEPTED)
