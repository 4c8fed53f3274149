"""`/api/v1/model-aliases/`."""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from base_models.models import BaseModel
from gateway import aliases
from gateway.models import ModelAlias


class ModelAliasSerializer(serializers.ModelSerializer):
    base_model = serializers.SlugRelatedField(
        slug_field="name", queryset=BaseModel.objects.all(), help_text="Name of the base model that it means."
    )
    is_own = serializers.SerializerMethodField(
        help_text="False for an alias of the house, which the admin alone changes."
    )

    class Meta:
        model = ModelAlias
        fields = ["id", "name", "base_model", "is_own", "created_at"]
        read_only_fields = ["id", "created_at"]

    def get_is_own(self, alias) -> bool:
        return alias.owner_id is not None


class ModelAliasViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    """Names by which old scripts call models, such as `gpt-4o-mini`, and the base model that answers to each."""

    serializer_class = ModelAliasSerializer
    queryset = ModelAlias.objects.none()
    filterset_fields = ["name"]
    ordering_fields = ["name", "created_at"]

    def get_queryset(self):
        mine = ModelAlias.objects.for_user if self.request.method == "GET" else ModelAlias.objects.of
        return mine(self.request.user).select_related("base_model")

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(request=ModelAliasSerializer, responses={201: ModelAliasSerializer})
    def create(self, request):
        """Makes an alias of one's own. A base model's own name, and one that is taken, are refused."""
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            alias = aliases.create_alias(owner=request.user, **form.validated_data)
        except aliases.AliasRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return self.answer(alias, 201)

    @extend_schema(request=ModelAliasSerializer, responses={200: ModelAliasSerializer})
    def partial_update(self, request, pk=None):
        """Lets an alias of one's own mean another base model. Its name stays."""
        alias = self.get_object()
        form = self.get_serializer(alias, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        if base_model := form.validated_data.get("base_model"):
            aliases.change_alias(alias=alias, base_model=base_model)
        return self.answer(alias, 200)

    def perform_destroy(self, alias):
        aliases.delete_alias(alias=alias)

    def answer(self, alias, status: int):
        return Response(ModelAliasSerializer(alias).data, status=status)


router = SimpleRouter()
router.register("model-aliases", ModelAliasViewSet, basename="api-model-alias")
urlpatterns = router.urls
