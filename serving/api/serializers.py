from rest_framework import serializers

from base_models.models import BaseModel
from serving.models import Deployment, DeploymentEvent, Hardware, Node, Placement


class ParitySerializer(serializers.Serializer):
    """How a server's answers compare with those of the training. Differences are in nats, over all answer tokens."""

    is_equal = serializers.BooleanField(allow_null=True, help_text="Null: there was nothing to compare with.")
    reason = serializers.CharField(
        allow_blank=True,
        help_text="template_drift, wrong_base, quantisation, not_applied, stale_adapter, corrupted, differs, "
        "no_reference, not_told; empty: equal.",
    )
    precision = serializers.CharField(allow_blank=True)
    bound = serializers.FloatField(
        help_text="Up to this mean difference it answers as it did when it was trained."
    )
    prompts = serializers.IntegerField()
    tokens = serializers.IntegerField()
    difference = serializers.FloatField(allow_null=True, help_text="Mean absolute difference.")
    worst = serializers.FloatField(allow_null=True, help_text="Largest difference of one token.")
    base_difference = serializers.FloatField(
        allow_null=True, help_text="That of the base, where it was asked."
    )
    same_answers = serializers.IntegerField(help_text="Prompts whose greedy answer is the same.")
    divergence = serializers.JSONField(allow_null=True, help_text="Where the first greedy answer leaves it.")
    drift = serializers.JSONField(allow_null=True, help_text="Of a training in 4 bits: reported, not gated.")
    seconds = serializers.FloatField()


class PlacementSerializer(serializers.ModelSerializer):
    node = serializers.CharField(source="node.name", read_only=True)
    health = serializers.CharField(source="node.health", read_only=True)

    class Meta:
        model = Placement
        fields = ["node", "health", "state", "reason", "message", "loaded_at", "load_seconds"]
        read_only_fields = fields


class DeploymentSerializer(serializers.ModelSerializer):
    adapter = serializers.UUIDField(source="adapter_id", read_only=True)
    model_id = serializers.CharField(
        source="adapter.model_id", read_only=True, help_text="This very version, for programs."
    )
    name = serializers.CharField(source="adapter.name", read_only=True)
    base_model = serializers.CharField(source="adapter.base_model.name", read_only=True)
    replaces = serializers.UUIDField(source="replaces_id", read_only=True, allow_null=True)
    parity = serializers.SerializerMethodField()
    placements = PlacementSerializer(many=True, read_only=True)

    class Meta:
        model = Deployment
        fields = [
            "id", "name", "adapter", "model_id", "base_model", "model_name", "version", "status", "replaces", "reason",
            "message", "parity", "placements", "last_used_at", "active_at", "ended_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "model_name": {"help_text": "For programs: whichever version of the assistant is at work."},
        }

    def get_parity(self, deployment) -> ParitySerializer(allow_null=True):
        return ParitySerializer(deployment.parity).data if deployment.parity else None


class DeploymentCreateSerializer(serializers.Serializer):
    adapter = serializers.CharField(help_text="UUID or model id of an adapter of yours.")
    replaces = serializers.UUIDField(
        required=False,
        help_text="A deployment at work whose next version this shall be; else an assistant of its own.",
    )
    why = serializers.CharField(
        required=False, allow_blank=True, max_length=500, help_text="For the history."
    )


class WhySerializer(serializers.Serializer):
    why = serializers.CharField(
        required=False, allow_blank=True, max_length=500, help_text="For the history."
    )


class DeploymentEventSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="by.username", read_only=True, default=None, allow_null=True)

    class Meta:
        model = DeploymentEvent
        fields = ["kind", "message", "by", "data", "created_at"]
        read_only_fields = fields


class ServerNodeSerializer(serializers.ModelSerializer):
    base_model = serializers.SlugRelatedField(
        slug_field="name",
        queryset=BaseModel.objects.all(),
        help_text="Name of the base model that it serves.",
    )
    hardware = serializers.ChoiceField(choices=Hardware.choices, default=Hardware.GPU)
    api_key = serializers.CharField(
        write_only=True,
        required=False,
        allow_blank=True,
        max_length=4000,
        help_text="Kept sealed, never shown.",
    )
    most_adapters = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=32767,
        help_text="Left out: as many as slots, on a processor one fewer.",
    )

    class Meta:
        model = Node
        fields = [
            "id", "name", "backend", "address", "base_model", "served_name", "hardware", "adapter_slots",
            "most_adapters", "most_rank", "api_key", "key_hint", "is_enabled", "health", "problem", "last_seen_at",
            "probe", "figures", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "id",
            "key_hint",
            "health",
            "problem",
            "last_seen_at",
            "probe",
            "figures",
            "created_at",
        ]
        extra_kwargs = {"address": {"required": True, "allow_blank": False}}
