from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.response import Response

from accounts import selectors, services
from accounts.api.serializers import MadeTokenSerializer, NewTokenSerializer, TokenSerializer
from accounts.models import ApiToken
from apex.common.api import UUID_PATTERN
from apex.common.api_errors import Unacceptable


class TokenViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """The caller's API tokens. A token that makes a token gives on no more than it has itself."""

    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()
    ordering_fields = ["created", "name"]
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self):
        return selectors.tokens_of(self.request.user)

    def get_object(self):
        return get_object_or_404(self.get_queryset(), public_id=self.kwargs["pk"])

    @extend_schema(request=NewTokenSerializer, responses={201: MadeTokenSerializer})
    def create(self, request):
        form = NewTokenSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = dict(form.validated_data)
        asked["scopes"], asked["model_names"] = sorted(asked["scopes"]), asked.pop("models")
        parent = request.auth if isinstance(request.auth, ApiToken) else None
        try:
            if parent:
                services.refuse_more_than(
                    parent,
                    scopes=asked["scopes"],
                    model_names=asked["model_names"],
                    expires_at=asked["expires_at"],
                    requests_per_minute=asked["requests_per_minute"],
                )
            token, text = services.create_token(user=request.user, **asked)
        except services.BadToken as problem:
            raise Unacceptable(str(problem)) from problem
        token.token = text
        return Response(MadeTokenSerializer(token).data, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """It stops working within a second."""
        services.revoke_token(token=self.get_object())
        return Response(status=204)
