"""What the API says of jobs and adapters."""

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from training import pricing
from training.engine.methods import METHODS
from training.models import Adapter, Checkpoint, JobEvent, Priority, Sample, TrainingJob

OFFERED = [name for name, method in METHODS.items() if method.is_offered]


class JobSerializer(serializers.ModelSerializer):
    progress = serializers.FloatField(read_only=True, help_text="Part of the steps that is done, 0 to 1.")
    base_model = serializers.CharField(source="base_model.name", read_only=True)
    dataset = serializers.UUIDField(source="dataset_version.dataset_id", read_only=True)
    dataset_version = serializers.UUIDField(source="dataset_version_id", read_only=True)
    data_erased_at = serializers.DateTimeField(
        source="dataset_version.erased_at",
        read_only=True,
        allow_null=True,
        help_text="When its examples were erased; null: they are there.",
    )
    start_adapter = serializers.UUIDField(
        source="start_adapter_id",
        read_only=True,
        allow_null=True,
        help_text="UUID of the adapter that it goes on from; null: it began with the base model.",
    )
    adapter = serializers.SerializerMethodField(help_text="UUID of what it learned, or null.")
    cost_so_far = serializers.SerializerMethodField(help_text="US dollars, over all its attempts.")
    cost_expected = serializers.SerializerMethodField(
        help_text="US dollars at its end; null where nobody has said."
    )
    chain = serializers.UUIDField(
        source="chain_stage.chain_id",
        read_only=True,
        default=None,
        help_text="That it is a stage of, or null.",
    )

    class Meta:
        model = TrainingJob
        fields = [
            "id",
            "name",
            "status",
            "method",
            "dataset",
            "dataset_version",
            "data_erased_at",
            "base_model",
            "start_adapter",
            "config",
            "queue",
            "progress",
            "step",
            "total_steps",
            "eta_seconds",
            "tokens",
            "tokens_per_second",
            "train_loss",
            "eval_loss_base",
            "eval_loss",
            "adapter",
            "device_count",
            "memory_bytes",
            "priority",
            "wanted_queue",
            "queued_at",
            "best_step",
            "best_eval_loss",
            "cost_so_far",
            "cost_expected",
            "chain",
            "reason",
            "message",
            "advice",
            "created_at",
            "started_at",
            "ended_at",
        ]
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.UUID)
    def get_adapter(self, job) -> str | None:
        adapter = job.adapter
        return str(adapter.pk) if adapter else None

    def get_cost_so_far(self, job) -> float:
        return pricing.cost_so_far(job)

    def get_cost_expected(self, job) -> float | None:
        return pricing.cost_expected(job)


class JobCreateSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80, help_text="Shown in lists; part of the adapter's model id.")
    dataset = serializers.CharField(
        help_text="UUID or name of one of your datasets; its latest version is used."
    )
    dataset_version = serializers.UUIDField(
        required=False, help_text="A version of it other than the latest."
    )
    base_model = serializers.CharField(help_text="UUID or name of a base model on this machine.")
    method = serializers.ChoiceField(
        choices=[*OFFERED, *(["drill"] if settings.TRAINING_DRILLS else [])],
        default="sft",
        help_text="sft learns from conversations and texts, dpo and orpo from preferences, kto from marked answers.",
    )
    start_adapter = serializers.CharField(
        required=False,
        allow_null=True,
        help_text="UUID or model id of one of your adapters of this base model, to go on from (DPO after SFT).",
    )
    config = serializers.DictField(
        required=False,
        help_text="Engine settings that differ from what suits the base model (see the guide).",
    )
    device_count = serializers.IntegerField(
        default=1, min_value=1, max_value=64, help_text="GPUs of one machine that it should have."
    )
    memory_gb = serializers.FloatField(
        required=False,
        min_value=0.001,
        max_value=100_000,
        help_text="Memory that each device must have, in GB; by default what the estimate says that it needs.",
    )
    priority = serializers.ChoiceField(
        choices=Priority.choices,
        default=Priority.NORMAL,
        help_text="-1: when nothing else waits; 0: in its turn; 1: before the others, for superusers only.",
    )
    wanted_queue = serializers.CharField(
        required=False, max_length=80, help_text="Only on the device with this queue, such as gpu0."
    )


class JobPatchSerializer(serializers.Serializer):
    priority = serializers.ChoiceField(choices=Priority.choices, help_text="As when it was asked for.")


class JobEventSerializer(serializers.ModelSerializer):
    class Meta:
        model = JobEvent
        fields = ["id", "kind", "message", "data", "created_at"]


def number(what: str):
    return serializers.FloatField(allow_null=True, help_text=what)


class MetricSerializer(serializers.Serializer):
    """What was measured at one step; a number that nobody knows is null. Further series come under their names."""

    step = serializers.IntegerField(help_text="0 is before the first step.")
    epoch = number("Passes over the examples so far.")
    loss = number("Mean over the trained tokens of the step, in nats per token.")
    eval_loss = number("The same on the held-out rows, at steps with a check.")
    learning_rate = number("At this step.")
    grad_norm = number("Length of the gradient before it is shortened.")
    tokens = serializers.IntegerField(allow_null=True, help_text="Processed so far.")
    tokens_per_second = number("Over the training so far.")
    memory_bytes = serializers.IntegerField(
        required=False, allow_null=True, help_text="At its highest so far."
    )
    rewards_chosen = number("Preferences: mean reward of the preferred answers.")
    rewards_rejected = number("Preferences: mean reward of the rejected answers.")
    rewards_margin = number("Preferences: how far the first is above the second.")
    rewards_accuracy = number("Preferences: share of pairs with the preferred answer above.")
    eval_rewards_margin = number("The margin on held-out pairs.")
    eval_rewards_accuracy = number("The accuracy on held-out pairs.")
    time = number("When it was written down, seconds since 1970.")

    def to_representation(self, row: dict) -> dict:
        return {name: row.get(name) for name in self.fields} | row


class CheckpointSerializer(serializers.ModelSerializer):
    """Its context holds `kept`: step → the adapter that was made of it."""

    adapter = serializers.SerializerMethodField(help_text="UUID of the adapter that it was kept as, or null.")

    class Meta:
        model = Checkpoint
        fields = [
            "step",
            "eval_loss",
            "size_bytes",
            "is_best",
            "is_damaged",
            "reason",
            "created_at",
            "adapter",
        ]
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.UUID)
    def get_adapter(self, checkpoint) -> str | None:
        return self.context["kept"].get(checkpoint.step)


class SampleSerializer(serializers.ModelSerializer):
    class Meta:
        model = Sample
        fields = ["step", "position", "question", "answer", "expected"]


class AdapterSerializer(serializers.ModelSerializer):
    dataset = serializers.UUIDField(source="dataset_version.dataset_id", read_only=True)
    rows_sha256 = serializers.CharField(
        source="dataset_version.rows_sha256",
        read_only=True,
        help_text="Hash of the rows that it learned from.",
    )
    data_erased_at = serializers.DateTimeField(
        source="dataset_version.erased_at",
        read_only=True,
        allow_null=True,
        help_text="When the examples that it learned from were erased; null: they are there.",
    )
    base_model = serializers.CharField(source="base_model.name", read_only=True)
    dataset_version = serializers.UUIDField(source="dataset_version_id", read_only=True)
    job = serializers.UUIDField(source="job_id", read_only=True)
    method = serializers.CharField(source="job.method", read_only=True, help_text="How it learned.")
    start_adapter = serializers.UUIDField(
        source="job.start_adapter_id",
        read_only=True,
        allow_null=True,
        help_text="UUID of the adapter that it went on from, or null.",
    )

    class Meta:
        model = Adapter
        fields = [
            "id",
            "name",
            "model_id",
            "job",
            "step",
            "method",
            "start_adapter",
            "dataset",
            "dataset_version",
            "rows_sha256",
            "data_erased_at",
            "base_model",
            "base_revision",
            "config",
            "seed",
            "library_versions",
            "directory_sha256",
            "size_bytes",
            "eval_loss_base",
            "eval_loss",
            "created_at",
        ]
        read_only_fields = fields
