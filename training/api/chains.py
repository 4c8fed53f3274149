"""`/api/v1/training/chains/`: several trainings as one plan, with gates between them."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Conflict, NotEnoughLeft, Unacceptable
from training import chain_details, chains, services
from training.api.asked import find_base_model, find_version
from training.gates import GATES
from training.models import Chain, ChainStage


class GateSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(
        choices=list(GATES),
        default="none",
        help_text="eval_loss: fell by so many per cent; rewards_accuracy: so many per cent of held-out comparisons.",
    )
    percent = serializers.FloatField(
        required=False, min_value=0, max_value=100, help_text="5 for eval_loss, 60 for rewards_accuracy."
    )


class StageSerializer(serializers.ModelSerializer):
    dataset_version = serializers.UUIDField(
        source="dataset_version_id", read_only=True, allow_null=True, help_text="Null: erased."
    )
    gate = GateSerializer(read_only=True)
    job = serializers.UUIDField(source="job_id", read_only=True, allow_null=True)
    status = serializers.SerializerMethodField(help_text="That of its job; null before it has one.")

    class Meta:
        model = ChainStage
        fields = ["method", "dataset_version", "config", "gate", "job", "status", "has_passed", "verdict"]
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.STR)
    def get_status(self, stage) -> str | None:
        return stage.job.status if stage.job else None


class ChainSerializer(serializers.ModelSerializer):
    base_model = serializers.CharField(source="base_model.name", read_only=True)
    stages = StageSerializer(many=True, read_only=True)

    class Meta:
        model = Chain
        fields = ["id", "name", "status", "message", "base_model", "stages", "created_at", "ended_at"]
        read_only_fields = fields


class StageCreateSerializer(serializers.Serializer):
    method = serializers.CharField(
        default="sft", help_text="How it learns: sft, dpo, orpo or kto, as for a training of its own."
    )
    dataset = serializers.CharField(
        help_text="UUID or name of one of your datasets; its latest version is used."
    )
    dataset_version = serializers.UUIDField(
        required=False, help_text="A version of it other than the latest."
    )
    config = serializers.DictField(required=False, help_text="Engine settings that differ from the defaults.")
    gate = GateSerializer(required=False, help_text="What its result must show before the next one begins.")


class ChainCreateSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80, help_text="What the last stage learns is called so.")
    base_model = serializers.CharField(help_text="UUID or name of a base model on this machine.")
    stages = StageCreateSerializer(many=True, min_length=1, max_length=chains.MOST_STAGES)


class ChainViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin,
                   viewsets.GenericViewSet):  # fmt: skip
    """The caller's chains, newest first. A stage's training begins when the gate of the one before has opened."""

    serializer_class = ChainSerializer
    queryset = Chain.objects.none()
    filterset_fields = ["status", "name"]
    ordering_fields = ["created_at", "name", "status"]

    def get_queryset(self):
        return chain_details.chains_for_list(self.request.user)

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(request=ChainCreateSerializer, responses={201: ChainSerializer})
    def create(self, request):
        """Starts a chain: its first training is queued, the others follow by themselves."""
        form = ChainCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        base_model = find_base_model(asked["base_model"])
        wishes = [
            chains.StageWish(
                stage["method"], find_version(request.user, stage), stage.get("config", {}), stage.get("gate")
            )
            for stage in asked["stages"]
        ]
        try:
            chain = chains.start_chain(
                owner=request.user, name=asked["name"], base_model=base_model, stages=wishes
            )
        except services.NotEnoughLeft as problem:
            raise NotEnoughLeft(str(problem)) from problem
        except services.StartRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return self.answer(chain.pk, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={200: ChainSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request, pk=None):
        """Stops it, and its training with it. 409 if it had ended."""
        chain = self.get_object()
        if not chains.cancel_chain(chain=chain):
            raise Conflict(f"{chain.name} has already ended: {chain.status}.")
        return self.answer(chain.pk)

    @extend_schema(request=None, responses={200: ChainSerializer})
    @action(detail=True, methods=["post"], url_path="go-on")
    def go_on(self, request, pk=None):
        """Past the gate at which it stopped, or its failed or stopped stage again. 409 if it is under way or done."""
        chain = self.get_object()
        if not chains.go_on(chain=chain):
            raise Conflict(f"{chain.name} cannot go on: it is {chain.status}.")
        return self.answer(chain.pk)

    def destroy(self, request, *args, **kwargs):
        """Deletes a chain that has ended; its trainings and what they learned stay. 409 while it is under way."""
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, chain):
        try:
            chains.delete_chain(chain=chain)
        except services.DeleteRefused as problem:
            raise Conflict(str(problem)) from problem

    def answer(self, chain_id, code=status.HTTP_200_OK) -> Response:
        return Response(ChainSerializer(self.get_queryset().get(pk=chain_id)).data, status=code)
