"""`/api/v1/training/queue/`: what runs, what waits, why and for about how long."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from training import turns

REASONS = [
    ("soon", "a worker takes it in a moment"),
    ("busy", "it is next, and every device that suits it is busy"),
    ("behind", "others are before it"),
    ("no_worker", "no machine that could run it is online"),
    ("disabled", "the devices that could run it take no trainings at present"),
    ("too_many", "it asks for more devices than any machine has"),
    ("too_large", "it asks for more memory than any device has"),
    ("no_such_device", "the device it is to run on has not been announced"),
]


class QueuedJobSerializer(serializers.Serializer):
    job = serializers.UUIDField(source="pk")
    name = serializers.CharField()
    owner = serializers.CharField(source="owner.username")
    status = serializers.CharField()
    queue = serializers.CharField(help_text="Of the device that has it, or where it is expected.")
    step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    eta_seconds = serializers.FloatField(allow_null=True)


class TurnSerializer(serializers.Serializer):
    job = serializers.UUIDField(source="job.pk")
    name = serializers.CharField(source="job.name")
    owner = serializers.CharField(source="job.owner.username")
    place = serializers.IntegerField(help_text="Among all that wait, from 1.")
    reason = serializers.ChoiceField(source="kind", choices=REASONS)
    message = serializers.CharField(source="words", help_text="The reason in plain words.")
    starts_in_seconds = serializers.FloatField(
        source="starts_in", allow_null=True, help_text="About; null where nobody can tell."
    )


class DeviceSerializer(serializers.Serializer):
    queue = serializers.CharField()
    kind = serializers.CharField()
    name = serializers.CharField()
    memory_bytes = serializers.IntegerField()
    is_enabled = serializers.BooleanField()
    price_per_hour = serializers.FloatField(help_text="US dollars.")
    job = serializers.UUIDField(source="holder.job_id", allow_null=True, default=None)


class NodeSerializer(serializers.Serializer):
    name = serializers.CharField()
    hostname = serializers.CharField()
    is_online = serializers.BooleanField()
    cpus = serializers.IntegerField()
    memory_bytes = serializers.IntegerField()
    driver = serializers.CharField()
    devices = DeviceSerializer(source="devices.all", many=True)


class BoardSerializer(serializers.Serializer):
    running = QueuedJobSerializer(many=True)
    waiting = TurnSerializer(source="turns", many=True)
    paused = QueuedJobSerializer(many=True)
    others_running = serializers.IntegerField(help_text="How many of other people's are learning.")
    others_waiting = serializers.IntegerField(help_text="How many of other people's wait.")
    nodes = NodeSerializer(many=True, help_text="Machines with their devices; for superusers only.")


class QueueView(APIView):
    @extend_schema(responses=BoardSerializer)
    def get(self, request):
        """What of yours runs, waits and rests, with why and for about how long. Superusers see everybody's."""
        return Response(BoardSerializer(turns.board(request.user)).data)
