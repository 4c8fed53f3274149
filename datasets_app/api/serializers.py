"""What the API says of datasets."""

from django.conf import settings
from rest_framework import serializers

from datasets_app.api.mapping import HELP, MappingField
from datasets_app.api.references import AddressFields, ReferenceSerializer
from datasets_app.models import Dataset, DatasetVersion


class FaultSerializer(serializers.Serializer):
    line = serializers.IntegerField(
        allow_null=True, help_text="Physical line where the record begins; null: the file."
    )
    problem = serializers.CharField(help_text="What was found, and what was expected.")
    mend = serializers.CharField(help_text="What to do about it.")
    severity = serializers.ChoiceField(
        choices=["error", "warning", "refusal"],
        help_text="error: left out; warning: kept; refusal: the whole file.",
    )
    found = serializers.CharField(required=False, allow_blank=True, help_text="The place itself, shortened.")
    code = serializers.CharField(
        required=False, help_text="What class of fault it is; the guide lists all codes."
    )


class VersionSerializer(serializers.ModelSerializer):
    reference = ReferenceSerializer(
        read_only=True, allow_null=True, help_text="Where its rows are, if they are not kept here."
    )

    class Meta:
        model = DatasetVersion
        fields = [
            "id",
            "number",
            "parent",
            "made_by",
            "file_name",
            "file_bytes",
            "format",
            "kind",
            "verdict",
            "source_sha256",
            "rows_sha256",
            "row_count",
            "train_count",
            "held_out_count",
            "conversation_count",
            "held_out_conversation_count",
            "skipped",
            "fault_count",
            "reference",
            "created_at",
        ]
        read_only_fields = fields


class VersionWithFaultsSerializer(VersionSerializer):
    faults = FaultSerializer(many=True, read_only=True, help_text="The first 200 of `fault_count`.")

    class Meta(VersionSerializer.Meta):
        fields = [*VersionSerializer.Meta.fields, "faults"]
        read_only_fields = fields


class DatasetSerializer(serializers.ModelSerializer):
    latest = VersionSerializer(
        source="version", read_only=True, allow_null=True, help_text="Its newest version."
    )

    class Meta:
        model = Dataset
        fields = ["id", "name", "description", "latest", "created_at"]
        read_only_fields = ["id", "latest", "created_at"]


class DatasetDetailSerializer(DatasetSerializer):
    latest = VersionWithFaultsSerializer(
        source="version", read_only=True, allow_null=True, help_text="Its newest version, with its faults."
    )


class BroughtSerializer(AddressFields):
    """Examples on their way in: a file, text in any shape that a file may have, or the address of a file."""

    file = serializers.FileField(
        required=False, allow_empty_file=True, help_text="Up to 100 MB; any known format."
    )
    text = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="The examples themselves, in place of a file.",
    )
    mapping = MappingField(required=False, help_text=HELP)

    def validate(self, asked):
        if sum(name in asked for name in ("file", "text", "uri")) != 1:
            raise serializers.ValidationError({"file": "Send either a file, or text, or a uri."})
        text = asked.get("text", "")
        if len(text) > settings.UPLOAD_LIMIT_BYTES:
            raise serializers.ValidationError({"text": "More than 100 MB of text came."})
        return asked


class DatasetCreateSerializer(BroughtSerializer):
    name = serializers.CharField(
        max_length=120, required=False, help_text="Unlike your others. Left out: the name of the file."
    )
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class DatasetRenameSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class MessageSerializer(serializers.Serializer):
    role = serializers.ChoiceField(choices=["system", "user", "assistant", "tool"])
    content = serializers.CharField(allow_blank=True)
    weight = serializers.IntegerField(required=False, help_text="0: an answer that is context, not learned.")
    name = serializers.CharField(required=False)
    tool_calls = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="Calls of tools, in OpenAI's shape."
    )
    tool_call_id = serializers.CharField(required=False, help_text="The call that a tool's message answers.")


class OriginSerializer(serializers.Serializer):
    version = serializers.UUIDField(help_text="The version that was brought.")
    row = serializers.IntegerField(help_text="Its place there, from 0.")


class RowSerializer(serializers.Serializer):
    """A stored row. `messages` is empty where the version's kind is another than `chat`."""

    messages = MessageSerializer(many=True, default=list)
    text = serializers.CharField(required=False, help_text="Kind `text`.")
    prompt = MessageSerializer(many=True, required=False, help_text="Kinds `preference` and `unpaired`.")
    chosen = MessageSerializer(many=True, required=False, help_text="Kind `preference`: the better answer.")
    rejected = MessageSerializer(many=True, required=False, help_text="Kind `preference`: the worse answer.")
    completion = MessageSerializer(many=True, required=False, help_text="Kind `unpaired`: the answer.")
    label = serializers.BooleanField(required=False, help_text="Kind `unpaired`: whether the answer is good.")
    tools = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="What may be called, in OpenAI's shape."
    )
    conversation = serializers.CharField(help_text="Rows of one conversation are in the same split.")
    line = serializers.IntegerField(help_text="Line of the file it came from.")
    origin = OriginSerializer(
        required=False, help_text="Where it first stood, if it was not brought with this very version."
    )
    split = serializers.ChoiceField(choices=["train", "held_out"])
