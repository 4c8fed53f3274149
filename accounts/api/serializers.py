from rest_framework import serializers

from accounts.models import ApiToken, Scope
from accounts.services import ALL_SCOPES, MOST_A_MINUTE


class TokenSerializer(serializers.ModelSerializer):
    """A token as its owner sees it: never its text, nor the hash of it."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices), read_only=True)
    models = serializers.ListField(
        source="model_names",
        child=serializers.CharField(),
        read_only=True,
        help_text="Ids of the models that it may ask; empty: all that its owner may.",
    )
    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True, allow_null=True)

    class Meta:
        model = ApiToken
        fields = [
            "id", "name", "scopes", "models", "requests_per_minute", "created_at", "last_used_at", "expires_at",
        ]  # fmt: skip
        read_only_fields = ["name", "requests_per_minute", "last_used_at"]


class NewTokenSerializer(serializers.Serializer):
    """What a new token shall be."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.MultipleChoiceField(choices=Scope.choices, default=lambda: set(ALL_SCOPES))
    models = serializers.ListField(child=serializers.CharField(max_length=255), default=list, max_length=100)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)
    requests_per_minute = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=MOST_A_MINUTE,
        help_text="Questions a minute, at most, and as many other calls; null: as many as its owner may.",
    )  # fmt: skip


class MadeTokenSerializer(TokenSerializer):
    """With its text, which is shown in this one answer."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
