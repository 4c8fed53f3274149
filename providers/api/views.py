"""`/api/v1/providers/` and `/api/v1/provider-keys/`: keys go in, and never come out."""

from django.http import Http404
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from providers import selectors, services
from providers.api.serializers import (
    NewProviderKeySerializer,
    ProviderKeyChangeSerializer,
    ProviderKeySerializer,
    ProviderModelSerializer,
    ProviderSerializer,
    TestedSerializer,
)
from providers.base import ProviderFailed
from providers.models import ProviderKey


class ProviderViewSet(viewsets.GenericViewSet):
    """Other people's models: who there is, what they can do, and whether the caller has a key."""

    serializer_class = ProviderSerializer
    lookup_field = lookup_url_kwarg = "name"
    lookup_value_regex = "[a-z0-9_-]+"
    filter_backends: list = []

    @extend_schema(responses=ProviderSerializer(many=True))
    def list(self, request):
        page = self.paginate_queryset(selectors.provider_cards(request.user))
        return self.get_paginated_response(ProviderSerializer(page, many=True).data)

    @extend_schema(parameters=[OpenApiParameter("name", str, "path")], responses=ProviderSerializer)
    def retrieve(self, request, name=None):
        for card in selectors.provider_cards(request.user):
            if card.provider.name == name:
                return Response(ProviderSerializer(card).data)
        raise Http404


class ProviderKeyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """The caller's keys, and those that are shared with them, which they may use and not see."""

    serializer_class = ProviderKeySerializer
    queryset = ProviderKey.objects.none()
    filterset_fields = ["provider"]
    ordering_fields = ["created_at", "name", "provider"]

    def get_queryset(self):
        return selectors.usable_keys(self.request.user).prefetch_related("shared_with")

    def own(self) -> ProviderKey:
        return owned_or_404(ProviderKey, self.request.user, pk=self.kwargs["pk"])

    def shown(self, row: ProviderKey, code: int = status.HTTP_200_OK) -> Response:
        return Response(ProviderKeySerializer(row, context={"request": self.request}).data, status=code)

    @extend_schema(request=NewProviderKeySerializer, responses={201: ProviderKeySerializer})
    @sensitive_variables()
    def create(self, request):
        """Keeps a key, sealed. Of several for one provider the newest counts where none is named."""
        asked = self.asked(NewProviderKeySerializer)
        return self.shown(keep(services.create_key, owner=request.user, **asked), status.HTTP_201_CREATED)

    @extend_schema(request=ProviderKeyChangeSerializer, responses=ProviderKeySerializer)
    @sensitive_variables()
    def partial_update(self, request, pk=None):
        """Another name, key or address, and who else may use it; what is left out stays."""
        row = self.own()
        asked = self.asked(ProviderKeyChangeSerializer)
        sharing = {name: asked.pop(name) for name in ("is_shared", "shared_with") if name in asked}
        if sharing and not request.user.is_superuser:
            raise exceptions.PermissionDenied("Only a superuser's keys can be shared.")
        if asked:
            keep(services.change_key, row=row, **asked)
        if sharing:
            names = sharing.get("shared_with")
            if names is None:
                names = [user.username for user in row.shared_with.all()]
            keep(
                services.share_key,
                row=row,
                with_everybody=sharing.get("is_shared", row.is_shared),
                names=names,
            )
        return self.shown(row)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Forgets the key; whatever asks by it is refused from the next question on."""
        services.delete_key(row=self.own())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=TestedSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request, pk=None):
        """Asks the provider whether key and address are good; what it finds is kept with the key."""
        try:
            said = services.try_key(row=self.own())
        except ProviderFailed as problem:
            return Response({"works": False, "message": problem.message, "kind": problem.kind})
        return Response({"works": True, "message": said, "kind": None})

    @extend_schema(responses=ProviderModelSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], filter_backends=[], ordering_fields=[])
    def models(self, request, pk=None):
        """What can be asked with the key, with prices where they are known."""
        row = self.get_object()
        try:
            found = services.list_models(row=row)
        except ProviderFailed as problem:
            raise Refused(problem) from problem
        return self.get_paginated_response(
            ProviderModelSerializer(self.paginate_queryset(found), many=True).data
        )

    @sensitive_variables()
    def asked(self, serializer_class) -> dict:
        form = serializer_class(data=self.request.data)
        form.is_valid(raise_exception=True)
        return form.validated_data


class Refused(exceptions.APIException):
    """What a provider said, with the status that fits."""

    def __init__(self, problem: ProviderFailed):
        super().__init__(problem.message, problem.code)
        self.status_code = problem.status


@sensitive_variables()
def keep(service, **wanted) -> ProviderKey:
    try:
        return service(**wanted)
    except services.BadKey as problem:
        raise Unacceptable(str(problem), field=problem.field) from problem
