from rest_framework import serializers

from audit.models import Act, AuditEvent, Way


class ActSerializer(serializers.ModelSerializer):
    """One act: who did what, to what, from where."""

    by = serializers.CharField(source="owner_name", read_only=True)

    class Meta:
        model = AuditEvent
        fields = [
            "id", "at", "by", "act", "subject_kind", "subject_id", "subject_name", "via", "address", "token_id",
            "detail",
        ]  # fmt: skip
        read_only_fields = fields


class ActWishSerializer(serializers.Serializer):
    act = serializers.ChoiceField(choices=Act.choices, required=False)
    via = serializers.ChoiceField(choices=Way.choices, required=False)
    q = serializers.CharField(required=False, help_text="In the name or kind of the thing; or its id.")
    since = serializers.DateField(required=False, help_text="First day, in UTC.")
    until = serializers.DateField(required=False, help_text="Last day, in UTC.")
    everybody = serializers.BooleanField(default=False, help_text="Of everybody; superusers only.")
    by = serializers.CharField(required=False, help_text="With everybody: by whom.")
