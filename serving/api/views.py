"""`/api/v1/deployments/` and, for superusers, `/api/v1/nodes/`."""

from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Conflict, Unacceptable
from serving import deploying, node_services, selectors
from serving.api.serializers import (
    DeploymentCreateSerializer,
    DeploymentEventSerializer,
    DeploymentSerializer,
    ServerNodeSerializer,
    WhySerializer,
)
from serving.models import Deployment, DeploymentEvent, Node
from training.api.asked import find_adapter
from training.models import Adapter


class DeploymentFilter(filters.FilterSet):
    # By id alone, so that another's adapter and none at all look the same.
    adapter = filters.UUIDFilter(field_name="adapter_id")

    class Meta:
        model = Deployment
        fields = ["status", "model_name"]


class DeploymentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """The caller's adapters at work, and what became of them, newest first."""

    serializer_class = DeploymentSerializer
    queryset = Deployment.objects.none()
    filterset_class = DeploymentFilter
    ordering_fields = ["created_at", "active_at", "status"]

    def get_queryset(self):
        return selectors.deployments_for(self.request.user)

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(request=DeploymentCreateSerializer, responses={201: DeploymentSerializer})
    def create(self, request):
        """Puts an adapter to work, or makes it the next version of an assistant at work. Answers at once."""
        form = DeploymentCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        how = {
            "adapter": self.adapter_named(asked["adapter"]),
            "by": request.user,
            "why": asked.get("why", ""),
        }
        try:
            if asked.get("replaces"):
                made = deploying.switch_deployment(deployment=self.named(asked["replaces"]), **how)
            else:
                made = deploying.deploy_adapter(**how)
        except deploying.DeployRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return self.answer(made.pk, status.HTTP_201_CREATED)

    @extend_schema(request=WhySerializer, responses={200: DeploymentSerializer})
    @action(detail=True, methods=["post"])
    def unload(self, request, pk=None):
        """Takes it down; answers under way are finished first. 409 if it was down already."""
        deployment = self.get_object()
        if not deploying.unload_deployment(deployment=deployment, by=request.user, why=self.why()):
            raise Conflict(f"{deployment} is not at work: {deployment.status}.")
        return self.answer(deployment.pk)

    @extend_schema(request=WhySerializer, responses={200: DeploymentSerializer})
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request, pk=None):
        """Puts the version to work again that was at work before, and answers with it. 409 if there is none."""
        deployment = self.get_object()
        try:
            before = deploying.roll_back(deployment=deployment, by=request.user, why=self.why())
        except deploying.DeployRefused as problem:
            raise Conflict(str(problem)) from problem
        return self.answer(before.pk)

    @extend_schema(request=WhySerializer, responses={200: DeploymentSerializer})
    @action(detail=True, methods=["post"], url_path="try-again")
    def try_again(self, request, pk=None):
        """Puts one that was refused to the servers once more. 409 if it is not refused."""
        deployment = self.get_object()
        try:
            if not deploying.try_again(deployment=deployment, by=request.user, why=self.why()):
                raise Conflict(f"{deployment} was not refused: it is {deployment.status}.")
        except deploying.DeployRefused as problem:
            raise Conflict(str(problem)) from problem
        return self.answer(deployment.pk)

    @extend_schema(responses={200: DeploymentEventSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"], filter_backends=[])
    def history(self, request, pk=None):
        """What happened to it, who did it and why, oldest first."""
        events = DeploymentEvent.objects.filter(deployment=self.get_object()).select_related("by")
        page = self.paginate_queryset(events)
        return self.get_paginated_response(DeploymentEventSerializer(page, many=True).data)

    def adapter_named(self, key: str) -> Adapter:
        try:
            adapter = find_adapter(self.request.user, key)
        except Unacceptable as problem:
            raise Unacceptable(str(problem.detail), field="adapter") from problem
        assert adapter is not None  # the form wants a key
        return adapter

    def named(self, pk) -> Deployment:
        found = self.get_queryset().filter(pk=pk).first()
        if found is None:
            raise Unacceptable(f"You have no deployment {pk}.", field="replaces")
        return found

    def why(self) -> str:
        form = WhySerializer(data=self.request.data)
        form.is_valid(raise_exception=True)
        return form.validated_data.get("why", "")

    def answer(self, pk, code=status.HTTP_200_OK) -> Response:
        return Response(DeploymentSerializer(self.get_queryset().get(pk=pk)).data, status=code)


class NodeViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    """Servers of models that the house uses. For superusers; everybody else finds nothing here."""

    serializer_class = ServerNodeSerializer
    queryset = Node.objects.select_related("base_model")
    filterset_fields = ["backend", "health", "is_enabled"]
    ordering_fields = ["name", "created_at"]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        if not request.user.is_superuser:
            raise Http404

    @extend_schema(request=ServerNodeSerializer, responses={201: ServerNodeSerializer})
    def create(self, request):
        """Adds a server that runs already. What is at work on its base model is put on it at once."""
        form = ServerNodeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = dict(form.validated_data)
        wanted.pop("is_enabled", None)
        return self.answer(lambda: node_services.add_node(**wanted), status.HTTP_201_CREATED)

    @extend_schema(request=ServerNodeSerializer, responses={200: ServerNodeSerializer})
    def partial_update(self, request, pk=None):
        """Changes what is named, `is_enabled` to take it out of use, say."""
        node = self.get_object()
        form = ServerNodeSerializer(node, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        return self.answer(lambda: node_services.change_node(node=node, **form.validated_data))

    def perform_destroy(self, node):
        try:
            node_services.remove_node(node=node)
        except node_services.NodeRefused as problem:
            raise Conflict(str(problem)) from problem

    def answer(self, act, code=status.HTTP_200_OK) -> Response:
        try:
            node = act()
        except node_services.NodeRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return Response(ServerNodeSerializer(node).data, status=code)
