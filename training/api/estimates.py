"""`/api/v1/training/estimate/`: what a training would take, wherever it could run."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from apex.common.api_errors import Unacceptable
from training import services, telling
from training.api.asked import asked_of
from training.api.serializers import JobCreateSerializer
from training.plan_settings import fitted_presets


class PartSerializer(serializers.Serializer):
    name = serializers.CharField()
    label = serializers.CharField()
    arithmetic = serializers.CharField(help_text="How the bytes come about, in words and numbers.")
    bytes = serializers.IntegerField()


class CostSerializer(serializers.Serializer):
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    on_demand = serializers.FloatField(allow_null=True)


class PriceSerializer(CostSerializer):
    source = serializers.CharField()
    priced_at = serializers.DateField(allow_null=True)


class PastSerializer(serializers.Serializer):
    factor = serializers.FloatField(help_text="Reached speed, by that of the formula alone.")
    runs = serializers.IntegerField(help_text="Trainings that it was measured in.")
    is_same_model = serializers.BooleanField(help_text="All of them of this base model.")
    beside = serializers.FloatField(
        allow_null=True,
        help_text="Time beside learning (start, checks, saving), by that of the formula alone.",
    )
    error = serializers.FloatField(
        allow_null=True, help_text="Mean share by which estimates of the time missed; null: none to compare."
    )
    estimates = serializers.IntegerField(help_text="Estimates that were compared.")


class PlaceSerializer(serializers.Serializer):
    place = serializers.CharField()
    kind = serializers.ChoiceField(choices=["here", "node", "offer"], help_text="offer: of the price table.")
    hardware = serializers.CharField()
    devices = serializers.IntegerField()
    fits = serializers.BooleanField()
    memory_bytes = serializers.IntegerField(help_text="On each device.")
    memory_free_bytes = serializers.IntegerField(help_text="On each device.")
    recomputes = serializers.BooleanField(help_text="Activations are made anew to save memory.")
    memory = PartSerializer(many=True)
    seconds = serializers.FloatField()
    tokens_per_second = serializers.FloatField()
    arithmetic = serializers.CharField(help_text="How the speed comes about.")
    past = PastSerializer(allow_null=True, help_text="What past trainings on this hardware said; null: none.")
    price = PriceSerializer(help_text="US dollars an hour for all devices; low to high is spot.")
    cost = CostSerializer(help_text="US dollars for the whole training.")


class SuggestionSerializer(serializers.Serializer):
    code = serializers.CharField()
    text = serializers.CharField()
    config = serializers.DictField(help_text="Settings to change.")
    base_model = serializers.CharField(
        allow_null=True, help_text="Another base model to begin with, or null."
    )
    device_count = serializers.IntegerField(allow_null=True, help_text="GPUs to ask for, or null.")
    memory_bytes = serializers.IntegerField()
    saves_bytes = serializers.IntegerField()
    seconds = serializers.FloatField()
    fits = serializers.BooleanField(help_text="It is enough.")


class PresetSerializer(serializers.Serializer):
    name = serializers.ChoiceField(choices=["quick", "balanced", "best"])
    config = serializers.DictField()
    fits = serializers.BooleanField()
    steps = serializers.IntegerField()
    seconds = serializers.FloatField()
    cost = CostSerializer()


class EstimateSerializer(serializers.Serializer):
    rows = serializers.IntegerField()
    held_out_rows = serializers.IntegerField()
    shortened_rows = serializers.IntegerField()
    too_long_rows = serializers.IntegerField()
    max_length = serializers.IntegerField()
    tokens = serializers.IntegerField(help_text="Every token as often as it is processed.")
    steps = serializers.IntegerField()
    epochs = serializers.IntegerField()
    trainable_parameters = serializers.IntegerField()
    advice = serializers.ListField(child=serializers.CharField())
    config = serializers.DictField(help_text="All settings, as the job would have them.")
    targets = PlaceSerializer(many=True, help_text="The first is where it would run.")
    suggestions = SuggestionSerializer(
        many=True, help_text="Where it does not fit: the mildest that is enough first."
    )
    presets = PresetSerializer(many=True)


class EstimateView(APIView):
    @extend_schema(request=JobCreateSerializer, responses={200: EstimateSerializer})
    def post(self, request):
        """What a training would take: memory by part, time and price, here, on each node and on rented machines.

        The body is that of a call that starts one; nothing is started.
        """
        form = JobCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            asked = asked_of(request.user, form.validated_data)
            found = telling.told(asked) | {
                "targets": telling.places_told(asked),
                "suggestions": telling.suggestions_told(asked),
                "presets": telling.presets_told(fitted_presets(asked.again({}))),
            }
        except services.StartRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return Response(EstimateSerializer(found).data)
