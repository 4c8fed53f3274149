from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from audit import selectors
from audit.api.serializers import ActSerializer, ActWishSerializer
from audit.models import AuditEvent


class AuditViewSet(viewsets.GenericViewSet):
    """What the caller has done, newest first; superusers may ask for everybody's. Nobody changes it."""

    serializer_class = ActSerializer
    queryset = AuditEvent.objects.none()
    filter_backends = []

    @extend_schema(parameters=[ActWishSerializer], responses=ActSerializer(many=True))
    def list(self, request) -> Response:
        form = ActWishSerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        rows = selectors.acts_for(request.user, **form.validated_data)
        return self.get_paginated_response(ActSerializer(self.paginate_queryset(rows), many=True).data)
